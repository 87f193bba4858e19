// What may be written down about how a program was started: common/system/environment.hpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "common/system/environment.hpp"

namespace rackproof {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::Pair;

std::map<std::string, std::string> recorded(const std::vector<std::string>& variables) {
  return recorded_environment(variables);
}

std::string command_line(const std::vector<std::string>& arguments) { return recorded_command_line(arguments); }

TEST(environment, keeps_what_changes_a_measurement) {
  EXPECT_THAT(recorded({"OMP_NUM_THREADS=2", "OPENBLAS_CORETYPE=SkylakeX", "SLURM_NTASKS=8", "LD_LIBRARY_PATH=/a:/b"}),
              ElementsAre(Pair("LD_LIBRARY_PATH", "/a:/b"), Pair("OMP_NUM_THREADS", "2"),
                          Pair("OPENBLAS_CORETYPE", "SkylakeX"), Pair("SLURM_NTASKS", "8")));
}

TEST(environment, leaves_out_what_is_not_on_the_list) {
  EXPECT_THAT(recorded({"HOME=/home/somebody", "SSH_CONNECTION=10.0.0.1", "GITHUB_TOKEN=abc", "MY_OMP_THREADS=2",
                        "LD_LIBRARY_PATH_OLD=/a", "no assignment"}),
              IsEmpty());
}

TEST(environment, leaves_out_the_copy_of_the_command_line_that_open_mpi_keeps) {
  EXPECT_THAT(recorded({"OMPI_ARGV=--token abc", "OMPI_COMMAND=rackproof"}),
              ElementsAre(Pair("OMPI_COMMAND", "rackproof")));
}

TEST(environment, hides_the_value_of_every_name_that_says_secret) {
  for (const char* name :
       {"SLURM_JWT", "NCCL_API_TOKEN", "UCX_PASSWORD", "OMPI_MCA_orte_precondition_transports", "FI_auth_key",
        "RACKPROOF_UPLOAD_SECRET", "MKL_LICENSE_KEY", "PMIX_COOKIE", "HDF5_S3_CREDENTIALS", "CUDA_passphrase"}) {
    EXPECT_THAT(recorded({std::string(name) + "=hunter2"}), ElementsAre(Pair(name, "<redacted>")));
  }
}

TEST(environment, hides_users_and_passwords_in_urls) {
  EXPECT_THAT(recorded({"RACKPROOF_PROXY=http://me:hunter2@proxy:3128/x"}),
              ElementsAre(Pair("RACKPROOF_PROXY", "http://<redacted>@proxy:3128/x")));
}

TEST(environment, hides_a_secret_that_a_value_carries) {
  EXPECT_THAT(recorded({"OMPI_MCA_mca_base_env_list=LANG=C;API_TOKEN=hunter2"}),
              ElementsAre(Pair("OMPI_MCA_mca_base_env_list", "LANG=C;API_TOKEN=<redacted>")));
}

TEST(environment, makes_values_safe_for_one_line_of_valid_text) {
  EXPECT_THAT(recorded({"OMP_A=a\nb\x1b[31m\xff"}), ElementsAre(Pair("OMP_A", "a?b?[31m?")));
}

TEST(environment, of_this_process_is_read) {
  ASSERT_EQ(setenv("RACKPROOF_REDACT_TEST", "seen", 1), 0);
  ASSERT_EQ(setenv("RACKPROOF_REDACT_TEST_TOKEN", "hunter2", 1), 0);
  const auto environment = recorded_environment();
  EXPECT_EQ(environment.at("RACKPROOF_REDACT_TEST"), "seen");
  EXPECT_EQ(environment.at("RACKPROOF_REDACT_TEST_TOKEN"), "<redacted>");
  unsetenv("RACKPROOF_REDACT_TEST");
  unsetenv("RACKPROOF_REDACT_TEST_TOKEN");
}

TEST(secret_names, are_found_anywhere_and_in_either_case) {
  EXPECT_TRUE(names_a_secret("--github-token"));
  EXPECT_TRUE(names_a_secret("MYTOKENS"));
  EXPECT_TRUE(names_a_secret("db.Password"));
  EXPECT_FALSE(names_a_secret("--suite"));
  EXPECT_FALSE(names_a_secret("OMP_NUM_THREADS"));
}

TEST(secret_names, do_not_take_our_unit_for_one) {
  EXPECT_FALSE(names_a_secret("--prompt-tokens"));
  EXPECT_FALSE(names_a_secret("max_tokens"));
  EXPECT_TRUE(names_a_secret("tokens_api_key"));
}

TEST(credentials, are_cut_out_of_urls) {
  EXPECT_EQ(redact_credentials("https://user:pass@host/path"), "https://<redacted>@host/path");
  EXPECT_EQ(redact_credentials("https://ghp_abc@host/path"), "https://<redacted>@host/path");
  EXPECT_EQ(redact_credentials("see ftp://u:p@h and http://plain:80/a"),
            "see ftp://<redacted>@h and http://plain:80/a");
}

TEST(credentials, may_hold_the_characters_that_end_an_authority) {
  EXPECT_EQ(redact_credentials("postgres://u:pa/ss@host/db"), "postgres://<redacted>@host/db");
  EXPECT_EQ(redact_credentials("postgres://u:p@ss@host/db"), "postgres://<redacted>@host/db");
}

TEST(credentials, are_cut_out_without_a_scheme) {
  EXPECT_EQ(redact_credentials("user:pa=ss@host"), "<redacted>@host");
  EXPECT_EQ(redact_credentials("user:pa/ss@host"), "<redacted>@host");
}

TEST(credentials, are_not_seen_in_paths_ports_and_addresses) {
  for (const char* harmless : {"/opt/spack/gcc@12.2/lib:/opt/spack/mpi@4.1/lib", "tcp://10.0.0.1:7000",
                               "http://host:80/image@2x.png", "someone@host", "mlx5_0:1", "", "@"}) {
    EXPECT_EQ(redact_credentials(harmless), harmless);
  }
}

TEST(command_line, hides_the_value_of_a_secret_option) {
  EXPECT_EQ(command_line({"rackproof", "run", "--token", "hunter2", "--out", "a.h5"}),
            "rackproof run --token '<redacted>' --out a.h5");
  EXPECT_EQ(command_line({"rackproof", "--api-key=hunter2"}), "rackproof '--api-key=<redacted>'");
  EXPECT_EQ(command_line({"rackproof", "--label", "site_password=hunter2"}),
            "rackproof --label 'site_password=<redacted>'");
  EXPECT_EQ(command_line({"rackproof", "--label=a=b,token=hunter2"}), "rackproof '--label=a=b,token=<redacted>'");
  EXPECT_EQ(command_line({"rackproof", "--label=db=me:hunter2@host"}), "rackproof '--label=<redacted>@host'");
}

TEST(command_line, keeps_what_follows_a_secret_flag) {
  EXPECT_EQ(command_line({"rackproof", "--auth", "--suite", "gemm"}), "rackproof --auth --suite gemm");
}

TEST(command_line, keeps_our_tokens_suite_and_its_options) {
  EXPECT_EQ(command_line({"rackproof", "run", "--suite", "tokens", "--prompt-tokens", "128"}),
            "rackproof run --suite tokens --prompt-tokens 128");
}

TEST(command_line, can_be_pasted_into_a_shell) {
  EXPECT_EQ(command_line({"rackproof", "--benchmark_filter=gemm/.*", "it's", "", "$HOME"}),
            "rackproof '--benchmark_filter=gemm/.*' 'it'\\''s' '' '$HOME'");
  const char* const argv[] = {"rackproof", "show", "a b.h5"};
  EXPECT_EQ(recorded_command_line(3, argv), "rackproof show 'a b.h5'");
}

TEST(command_line, never_shows_the_secret_in_any_spelling) {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"--token=hunter2"},
                                             {"--token", "hunter2"},
                                             {"-token", "hunter2"},
                                             {"--label", "TOKEN=hunter2"},
                                             {"--label=token=hunter2"},
                                             {"--url", "https://me:hunter2@host"},
                                             {"--url=https://hunter2@host"},
                                             {"me:hunter2@host"}}) {
    EXPECT_THAT(command_line(arguments), Not(HasSubstr("hunter2")));
  }
}

}  // namespace
}  // namespace rackproof
