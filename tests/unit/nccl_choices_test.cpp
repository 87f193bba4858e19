#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "common/backends/nccl/choices.hpp"

namespace rackproof::nccl {
namespace {

/// As NCCL declares it: src/include/plugin/profiler/profiler_v4.h. The union is as large as its first member.
struct Descriptor {
  std::uint8_t type;
  void* parent;
  int rank;
  struct {
    std::uint64_t sequence;
    const char* function;
    const void* send;
    void* receive;
    std::size_t count;
    int root;
    const char* type;
    std::uint8_t channels;
    std::uint8_t warps;
    const char* algorithm;
    const char* protocol;
  } collective;
};
struct Plugin {
  const char* name;
  int (*init)(void**, int*, const char*, std::uint64_t, int, int, int, void*);
  int (*start_event)(void*, void**, Descriptor*);
  int (*stop_event)(void*);
  int (*record)(void*, int, void*);
  int (*finalise)(void*);
};

constexpr std::uint8_t group_event = 1;
constexpr std::uint8_t collective_event = 2;

class NcclChoices : public ::testing::Test {
 protected:
  /// As NCCL finds it, in the program itself.
  const Plugin* plugin() { return static_cast<const Plugin*>(dlsym(dlopen(nullptr, RTLD_NOW), "ncclProfiler_v4")); }

  void tell(void* whose, std::uint8_t type, const char* algorithm, const char* protocol) {
    Descriptor event{};
    event.type = type;
    event.collective.channels = 8;
    event.collective.algorithm = algorithm;
    event.collective.protocol = protocol;
    void* handle = this;
    EXPECT_EQ(plugin()->start_event(whose, &handle, &event), 0);
    EXPECT_EQ(handle, nullptr);
  }

  int mask = 0x7fff;
  void* context = nullptr;
};

TEST_F(NcclChoices, are_unknown_until_nccl_tells) {
  Choices choices;
  EXPECT_EQ(choices.text(), "algorithm unknown");
  choices.ask();  // a library that has no plug-ins
  EXPECT_EQ(choices.text(), "algorithm unknown");
}

TEST_F(NcclChoices, are_what_the_plugin_was_told_of_the_communicator) {
  ASSERT_NE(plugin(), nullptr);
  Choices choices;
  Choices others;
  ASSERT_EQ(plugin()->init(&context, &mask, choices.communicator_name(), 1, 2, 16, 3, nullptr), 0);
  EXPECT_EQ(mask, 0) << "nothing is asked for yet";
  choices.ask();
  EXPECT_EQ(mask, collective_event);
  tell(context, group_event, "none", "none");
  EXPECT_EQ(choices.text(), "algorithm unknown");
  tell(context, collective_event, "NVLS", "SIMPLE");
  EXPECT_EQ(choices.text(), "algorithm NVLS, protocol SIMPLE, 8 channels");
  EXPECT_EQ(mask, 0) << "told once, NCCL keeps quiet";
  EXPECT_EQ(others.text(), "algorithm unknown");
  choices.ask();
  EXPECT_EQ(choices.text(), "algorithm unknown") << "what was told is of another collective";
}

TEST_F(NcclChoices, a_communicator_of_another_name_is_left_alone) {
  for (const char* name : {static_cast<const char*>(nullptr), "", "somebody's", "rackproof-", "rackproof-12xy"}) {
    ASSERT_EQ(plugin()->init(&context, &mask, name, 1, 1, 2, 0, nullptr), 0);
    EXPECT_EQ(context, nullptr);
    tell(context, collective_event, "RING", "LL");
  }
}

TEST_F(NcclChoices, a_plugin_of_the_user_stays) {
  ::setenv("NCCL_PROFILER_PLUGIN", "mine", 1);
  Choices::offer_plugin();
  EXPECT_STREQ(::getenv("NCCL_PROFILER_PLUGIN"), "mine");
  ::unsetenv("NCCL_PROFILER_PLUGIN");
  Choices::offer_plugin();
  EXPECT_STREQ(::getenv("NCCL_PROFILER_PLUGIN"), "STATIC_PLUGIN");
}

}  // namespace
}  // namespace rackproof::nccl
