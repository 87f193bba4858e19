#include "common/backends/backend.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/core/error.hpp"

namespace rackproof {
namespace {

class SomeBackend : public Backend {
 public:
  SomeBackend(std::string name, int priority, int devices)
      : name_(std::move(name)), priority_(priority), devices_(devices) {}
  std::string name() const override { return name_; }
  int device_priority() const override { return priority_; }
  int devices_present() const override {
    if (devices_ < 0) throw usage_error("its driver is too old");
    return devices_;
  }

 private:
  std::string name_;
  int priority_;
  int devices_;  // below 0: they are there and cannot be used
};

std::vector<std::unique_ptr<Backend>> accelerator_and_host(int accelerators) {
  std::vector<std::unique_ptr<Backend>> all;
  all.push_back(std::make_unique<SomeBackend>("accelerator", 2, accelerators));
  all.push_back(std::make_unique<SomeBackend>("host", 1, 1));
  return all;
}

TEST(Backends, auto_takes_the_preferred_one_that_has_devices) {
  EXPECT_EQ(choose_device_backend(accelerator_and_host(8), "auto").name(), "accelerator");
  EXPECT_EQ(choose_device_backend(accelerator_and_host(0), "auto").name(), "host");
}

TEST(Backends, auto_passes_on_why_devices_that_are_there_cannot_be_used) {
  EXPECT_THROW((void)choose_device_backend(accelerator_and_host(-1), "auto"), Error);
}

TEST(Backends, one_that_is_named_is_taken_whatever_is_wrong_with_the_others) {
  EXPECT_EQ(choose_device_backend(accelerator_and_host(-1), "host").name(), "host");
  EXPECT_EQ(choose_device_backend(accelerator_and_host(0), "accelerator").name(), "accelerator");
}

TEST(Backends, an_unknown_name_is_refused_with_those_there_are) {
  try {
    (void)choose_device_backend(accelerator_and_host(-1), "tpu");
    FAIL() << "it was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::usage);
    EXPECT_NE(error.line().find("auto, accelerator, host"), std::string::npos) << error.line();
  }
}

}  // namespace
}  // namespace rackproof
