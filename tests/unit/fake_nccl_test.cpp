// The fake libnccl.so.2 over the fake CUDA runtime: each rank is a process of its own.
// no threads
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nccl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace {

using testing::HasSubstr;

/// Ends this rank's process with its failure on stderr.
void require(bool holds, const std::string& what) {
  if (holds) return;
  (void)fprintf(stderr, "rank: %s\n", what.c_str());
  (void)fflush(stderr);
  _exit(9);
}

template <typename Function>
Function find(void* library, const char* name) {
  auto* found = dlsym(library, name);
  require(found != nullptr, std::string(name) + " is missing");
  return reinterpret_cast<Function>(found);
}

void* open_library(const std::string& name) {
  void* library = dlopen((std::string(RACKPROOF_FAKES) + "/" + name).c_str(), RTLD_NOW | RTLD_GLOBAL);
  require(library != nullptr, "dlopen of " + name);
  return library;
}

#define FIND(library, name) find<decltype(&::name)>(library, #name)

struct Cuda {
  void* library = open_library("libcudart.so." + std::to_string(CUDART_VERSION / 1000));
  decltype(&::cudaSetDevice) set_device = FIND(library, cudaSetDevice);
  cudaError_t (*allocate)(void**, std::size_t) = find<cudaError_t (*)(void**, std::size_t)>(library, "cudaMalloc");
  decltype(&::cudaFree) release = FIND(library, cudaFree);
  decltype(&::cudaMemcpy) copy = FIND(library, cudaMemcpy);
  decltype(&::cudaStreamCreateWithFlags) make_stream = FIND(library, cudaStreamCreateWithFlags);
  decltype(&::cudaStreamDestroy) destroy_stream = FIND(library, cudaStreamDestroy);
  decltype(&::cudaStreamSynchronize) wait = FIND(library, cudaStreamSynchronize);
  decltype(&::cudaStreamQuery) query = FIND(library, cudaStreamQuery);
  decltype(&::cudaGetLastError) last_error = FIND(library, cudaGetLastError);
  decltype(&::cudaStreamBeginCapture) begin_capture = FIND(library, cudaStreamBeginCapture);
  decltype(&::cudaStreamEndCapture) end_capture = FIND(library, cudaStreamEndCapture);
  cudaError_t (*instantiate)(cudaGraphExec_t*, cudaGraph_t, unsigned long long) =
      find<cudaError_t (*)(cudaGraphExec_t*, cudaGraph_t, unsigned long long)>(library, "cudaGraphInstantiate");
  decltype(&::cudaGraphLaunch) launch = FIND(library, cudaGraphLaunch);
  decltype(&::cudaGraphDestroy) destroy_graph = FIND(library, cudaGraphDestroy);
  decltype(&::cudaGraphExecDestroy) destroy_exec = FIND(library, cudaGraphExecDestroy);
};

struct Nccl {
  void* library = open_library("libnccl.so.2");
  decltype(&::ncclGetVersion) version = FIND(library, ncclGetVersion);
  decltype(&::ncclGetUniqueId) unique_id = FIND(library, ncclGetUniqueId);
  decltype(&::ncclCommInitRankConfig) init = FIND(library, ncclCommInitRankConfig);
  decltype(&::ncclCommSplit) split = FIND(library, ncclCommSplit);
  decltype(&::ncclCommFinalize) finalize = FIND(library, ncclCommFinalize);
  decltype(&::ncclCommDestroy) destroy = FIND(library, ncclCommDestroy);
  decltype(&::ncclCommAbort) abort = FIND(library, ncclCommAbort);
  decltype(&::ncclCommGetAsyncError) async_error = FIND(library, ncclCommGetAsyncError);
  decltype(&::ncclGetErrorString) error_string = FIND(library, ncclGetErrorString);
  decltype(&::ncclGetLastError) last_error = FIND(library, ncclGetLastError);
  decltype(&::ncclCommCount) count = FIND(library, ncclCommCount);
  decltype(&::ncclCommUserRank) user_rank = FIND(library, ncclCommUserRank);
  decltype(&::ncclAllReduce) all_reduce = FIND(library, ncclAllReduce);
  decltype(&::ncclReduce) reduce = FIND(library, ncclReduce);
  decltype(&::ncclReduceScatter) reduce_scatter = FIND(library, ncclReduceScatter);
  decltype(&::ncclAllGather) all_gather = FIND(library, ncclAllGather);
  decltype(&::ncclBroadcast) broadcast = FIND(library, ncclBroadcast);
  decltype(&::ncclSend) send = FIND(library, ncclSend);
  decltype(&::ncclRecv) receive = FIND(library, ncclRecv);
  decltype(&::ncclGroupStart) group_start = FIND(library, ncclGroupStart);
  decltype(&::ncclGroupEnd) group_end = FIND(library, ncclGroupEnd);
  decltype(&::ncclCommRegister) register_buffer = FIND(library, ncclCommRegister);
  decltype(&::ncclCommDeregister) deregister_buffer = FIND(library, ncclCommDeregister);
};

/// What the processes share.
struct Board {
  ncclUniqueId id;
  std::atomic<bool> has_id;
  std::atomic<int> arrived;
};

/// One rank, in its process.
class Rank {
 public:
  Rank(Board& shared, int which, int ranks) : board(shared), rank(which), size(ranks) {
    ok(cuda.set_device(rank), "cudaSetDevice");
    ok(cuda.make_stream(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  }

  static void ok(cudaError_t code, const char* call) {
    require(code == cudaSuccess, std::string(call) + ": " + std::to_string(code));
  }
  void ok(ncclResult_t code, const char* call) const {
    require(code == ncclSuccess, std::string(call) + ": " + nccl.error_string(code) + ": " + nccl.last_error(comm));
  }

  [[nodiscard]] ncclResult_t begin(int blocking = 1) {
    if (rank == 0) {
      ok(nccl.unique_id(&board.id), "ncclGetUniqueId");
      board.has_id = true;
    }
    while (!board.has_id) std::this_thread::yield();
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = blocking;
    return nccl.init(&comm, size, board.id, rank, &config);
  }
  void connect() { ok(begin(), "ncclCommInitRankConfig"); }

  template <typename T>
  T* buffer(const std::vector<T>& content) {
    void* data = nullptr;
    const std::size_t bytes = std::max<std::size_t>(1, content.size() * sizeof(T));
    ok(cuda.allocate(&data, bytes), "cudaMalloc");
    ok(cuda.copy(data, content.data(), content.size() * sizeof(T), cudaMemcpyHostToDevice), "cudaMemcpy");
    buffers.push_back(data);
    return static_cast<T*>(data);
  }
  template <typename T>
  std::vector<T> content(const T* data, std::size_t count) {
    ok(cuda.wait(stream), "cudaStreamSynchronize");
    std::vector<T> host(count);
    ok(cuda.copy(host.data(), data, count * sizeof(T), cudaMemcpyDeviceToHost), "cudaMemcpy");
    return host;
  }
  template <typename T>
  void expect(const T* data, const std::vector<T>& expected, const char* what) {
    require(content(data, expected.size()) == expected, what);
  }

  /// All have come this far.
  void meet() {
    const int goal = ++meetings * size;
    ++board.arrived;
    while (board.arrived < goal) std::this_thread::yield();
  }

  void end() {
    for (void* data : buffers) ok(cuda.release(data), "cudaFree");
    buffers.clear();
    if (comm != nullptr) ok(nccl.destroy(comm), "ncclCommDestroy");
    ok(cuda.destroy_stream(stream), "cudaStreamDestroy");
  }

  Board& board;
  int rank;
  int size;
  int meetings = 0;
  Cuda cuda;
  Nccl nccl;
  cudaStream_t stream = nullptr;
  ncclComm_t comm = nullptr;
  std::vector<void*> buffers;
};

struct Outcome {
  int status = 0;  ///< as waitpid() gives it
  std::string said;
  [[nodiscard]] bool is_well() const { return WIFEXITED(status) && WEXITSTATUS(status) == 0; }
};

class FakeNccl : public testing::Test {
 protected:
  FakeNccl() : folder_(testing::TempDir() + "/fake_nccl_" + std::to_string(getpid())) {
    std::filesystem::create_directories(folder_);
  }
  ~FakeNccl() override { std::filesystem::remove_all(folder_); }

  /// Runs `body` in `size` processes and gives back how each ended.
  std::vector<Outcome> run(int size, const std::function<void(Rank&)>& body) {
    void* shared = mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    auto* board = new (shared) Board{};
    std::vector<pid_t> processes;
    (void)fflush(nullptr);
    for (int rank = 0; rank < size; ++rank) {
      const pid_t process = fork();
      if (process == 0) run_child(*board, rank, size, body);
      processes.push_back(process);
    }
    std::vector<Outcome> outcomes;
    for (int rank = 0; rank < size; ++rank) {
      Outcome outcome;
      EXPECT_EQ(waitpid(processes[static_cast<std::size_t>(rank)], &outcome.status, 0),
                processes[static_cast<std::size_t>(rank)]);
      std::ifstream file(words_of(rank));
      outcome.said = (std::ostringstream() << file.rdbuf()).str();
      outcomes.push_back(outcome);
    }
    munmap(shared, sizeof(Board));
    return outcomes;
  }

  void run_well(int size, const std::function<void(Rank&)>& body) {
    for (const Outcome& outcome : run(size, body)) EXPECT_TRUE(outcome.is_well()) << outcome.status << outcome.said;
  }

  [[nodiscard]] std::string file(const std::string& name) const { return folder_ + "/" + name; }

  std::map<std::string, std::string> environment{{"RACKPROOF_FAKE_GPUS", "8xH100"}, {"RACKPROOF_FAKE_MEMORY", "64MiB"}};

 private:
  [[nodiscard]] std::string words_of(int rank) const { return file("stderr" + std::to_string(rank)); }

  [[noreturn]] void run_child(Board& board, int rank, int size, const std::function<void(Rank&)>& body) const {
    for (const auto& [name, value] : environment) setenv(name.c_str(), value.c_str(), 1);
    setenv("OMPI_COMM_WORLD_RANK", std::to_string(rank).c_str(), 1);
    require(freopen(words_of(rank).c_str(), "w", stderr) != nullptr, "freopen");
    {
      Rank self(board, rank, size);
      body(self);
    }
    std::exit(0);  // with the libraries' destructors, which look for what was left behind
  }

  std::string folder_;
};

template <typename T>
std::vector<T> filled(std::size_t count, const std::function<int(std::size_t)>& value) {
  std::vector<T> made(count);
  for (std::size_t i = 0; i < count; ++i) made[i] = static_cast<T>(value(i));
  return made;
}

template <typename T>
void sum_in_and_out_of_place(Rank& self, ncclDataType_t type) {
  for (const std::size_t count : {std::size_t{1}, std::size_t{3}, std::size_t{1000}, std::size_t{140001}}) {
    const auto input = filled<T>(count, [&](std::size_t i) { return static_cast<int>(i % 7) + self.rank; });
    const auto expected = filled<T>(
        count, [&](std::size_t i) { return self.size * static_cast<int>(i % 7) + self.size * (self.size - 1) / 2; });
    T* send = self.buffer(input);
    T* receive = self.buffer(std::vector<T>(count));
    self.ok(self.nccl.all_reduce(send, receive, count, type, ncclSum, self.comm, self.stream), "ncclAllReduce");
    self.expect(receive, expected, "sum");
    self.expect(send, input, "input is left alone");
    self.ok(self.nccl.all_reduce(send, send, count, type, ncclSum, self.comm, self.stream), "ncclAllReduce");
    self.expect(send, expected, "sum in place");
  }
}

TEST_F(FakeNccl, sums_every_host_type_of_any_length) {
  run_well(3, [](Rank& self) {
    self.connect();
    sum_in_and_out_of_place<double>(self, ncclFloat64);
    sum_in_and_out_of_place<float>(self, ncclFloat32);
    sum_in_and_out_of_place<std::int64_t>(self, ncclInt64);
    sum_in_and_out_of_place<std::uint32_t>(self, ncclUint32);
    sum_in_and_out_of_place<std::int8_t>(self, ncclInt8);
    self.end();
  });
}

TEST_F(FakeNccl, short_types_round_each_partial_sum) {
  run_well(3, [](Rank& self) {
    self.connect();
    // 2^8 + 1 + 1 in bf16 (8 bits), 2^11 + 1 + 1 in f16 (11 bits), 16 + 1 + 1 in f8e4m3 (4 bits), 8 + 1 + 1 in f8e5m2
    // (3 bits): ties go to even each time, where the sum rounded once would be larger.
    struct Element {
      ncclDataType_t type;
      std::uint16_t large, one;
    };
    std::vector<Element> elements{{ncclBfloat16, 0x4380, 0x3f80}, {ncclFloat16, 0x6800, 0x3c00}};
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 24, 3)
    elements.insert(elements.end(), {{ncclFloat8e4m3, 0x58, 0x38}, {ncclFloat8e5m2, 0x48, 0x3c}});
#endif
    for (const Element& e : elements) {
      std::uint16_t* data = self.buffer(std::vector<std::uint16_t>{self.rank == 0 ? e.large : e.one});
      self.ok(self.nccl.all_reduce(data, data, 1, e.type, ncclSum, self.comm, self.stream), "ncclAllReduce");
      require(self.content(data, 1).front() == e.large, "type " + std::to_string(e.type));
    }
    self.end();
  });
}

TEST_F(FakeNccl, other_reductions_and_averages) {
  run_well(2, [](Rank& self) {
    self.connect();
    const std::map<ncclRedOp_t, float> expected = {
        {ncclSum, 7.0F}, {ncclProd, 12.0F}, {ncclMax, 4.0F}, {ncclMin, 3.0F}, {ncclAvg, 3.5F}};
    for (const auto& [reduction, value] : expected) {
      float* data = self.buffer(std::vector<float>(5, self.rank == 0 ? 3.0F : 4.0F));
      self.ok(self.nccl.all_reduce(data, data, 5, ncclFloat32, reduction, self.comm, self.stream), "ncclAllReduce");
      self.expect(data, std::vector<float>(5, value), ("reduction " + std::to_string(reduction)).c_str());
    }
    self.end();
  });
}

TEST_F(FakeNccl, moves_and_scatters_blocks) {
  run_well(3, [](Rank& self) {
    self.connect();
    const std::size_t count = 70001;  // more than one piece
    const auto all = 3 * count;
    std::int32_t* whole =
        self.buffer(filled<std::int32_t>(all, [&](std::size_t i) { return static_cast<int>(i) + self.rank; }));
    std::int32_t* block = self.buffer(std::vector<std::int32_t>(count));
    self.ok(self.nccl.reduce_scatter(whole, block, count, ncclInt32, ncclSum, self.comm, self.stream),
            "ncclReduceScatter");
    const auto first = static_cast<std::size_t>(self.rank) * count;
    self.expect(block, filled<std::int32_t>(count, [&](std::size_t i) { return 3 * static_cast<int>(first + i) + 3; }),
                "reduce_scatter");
    self.ok(self.nccl.all_gather(block, whole, count, ncclInt32, self.comm, self.stream), "ncclAllGather");
    self.expect(whole, filled<std::int32_t>(all, [](std::size_t i) { return 3 * static_cast<int>(i) + 3; }),
                "all_gather");

    std::int32_t* told = self.buffer(std::vector<std::int32_t>(count, self.rank));
    self.ok(self.nccl.broadcast(told, told, count, ncclInt32, 2, self.comm, self.stream), "ncclBroadcast");
    self.expect(told, std::vector<std::int32_t>(count, 2), "broadcast");
    std::int32_t* total = self.buffer(std::vector<std::int32_t>(count, -1));
    self.ok(self.nccl.reduce(told, total, count, ncclInt32, ncclSum, 1, self.comm, self.stream), "ncclReduce");
    self.expect(total, std::vector<std::int32_t>(count, self.rank == 1 ? 6 : -1), "reduce");
    self.end();
  });
}

TEST_F(FakeNccl, grouped_messages_reach_all_and_oneself) {
  run_well(4, [](Rank& self) {
    self.connect();
    std::int32_t* send =
        self.buffer(filled<std::int32_t>(4, [&](std::size_t i) { return 10 * self.rank + static_cast<int>(i); }));
    std::int32_t* receive = self.buffer(std::vector<std::int32_t>(4));
    for (int repetition = 0; repetition < 3; ++repetition) {
      self.ok(self.nccl.group_start(), "ncclGroupStart");
      for (int peer = 0; peer < 4; ++peer) {
        self.ok(self.nccl.send(send + peer, 1, ncclInt32, peer, self.comm, self.stream), "ncclSend");
        self.ok(self.nccl.receive(receive + peer, 1, ncclInt32, peer, self.comm, self.stream), "ncclRecv");
      }
      self.ok(self.nccl.group_end(), "ncclGroupEnd");
    }
    self.expect(receive, filled<std::int32_t>(4, [&](std::size_t i) { return 10 * static_cast<int>(i) + self.rank; }),
                "all to all");
    self.end();
  });
}

TEST_F(FakeNccl, split_makes_groups_in_the_order_of_keys) {
  run_well(4, [](Rank& self) {
    self.connect();
    ncclComm_t child = nullptr;
    const int color = self.rank == 3 ? NCCL_SPLIT_NOCOLOR : self.rank % 2;
    self.ok(self.nccl.split(self.comm, color, -self.rank, &child, nullptr), "ncclCommSplit");
    require((child == nullptr) == (self.rank == 3), "no color, no communicator");
    if (child != nullptr) {
      int rank = -1;
      int size = -1;
      self.ok(self.nccl.user_rank(child, &rank), "ncclCommUserRank");
      self.ok(self.nccl.count(child, &size), "ncclCommCount");
      require(size == (self.rank == 1 ? 1 : 2), "size");
      require(rank == (self.rank == 0 ? 1 : 0), "rank");
      float* data = self.buffer(std::vector<float>{static_cast<float>(self.rank + 1)});
      self.ok(self.nccl.all_reduce(data, data, 1, ncclFloat32, ncclSum, child, self.stream), "ncclAllReduce");
      self.expect(data, {self.rank == 1 ? 2.0F : 4.0F}, "sum of the group");
      self.ok(self.nccl.destroy(child), "ncclCommDestroy");
    }
    self.end();
  });
}

TEST_F(FakeNccl, captured_collectives_replay) {
  run_well(2, [](Rank& self) {
    self.connect();
    float* data = self.buffer(std::vector<float>(3, 1.0F));
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t replay = nullptr;
    Rank::ok(self.cuda.begin_capture(self.stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
    self.ok(self.nccl.all_reduce(data, data, 3, ncclFloat32, ncclSum, self.comm, self.stream), "ncclAllReduce");
    self.ok(self.nccl.all_reduce(data, data, 3, ncclFloat32, ncclSum, self.comm, self.stream), "ncclAllReduce");
    Rank::ok(self.cuda.end_capture(self.stream, &graph), "cudaStreamEndCapture");
    Rank::ok(self.cuda.instantiate(&replay, graph, 0), "cudaGraphInstantiate");
    Rank::ok(self.cuda.destroy_graph(graph), "cudaGraphDestroy");
    self.expect(data, std::vector<float>(3, 1.0F), "nothing ran yet");
    for (int i = 0; i < 3; ++i) Rank::ok(self.cuda.launch(replay, self.stream), "cudaGraphLaunch");
    self.expect(data, std::vector<float>(3, 64.0F), "three times two doublings");
    Rank::ok(self.cuda.destroy_exec(replay), "cudaGraphExecDestroy");
    self.end();
  });
}

TEST_F(FakeNccl, non_blocking_calls_are_in_progress_until_looked_at) {
  run_well(2, [](Rank& self) {
    require(self.begin(0) == ncclInProgress, "init returns at once");
    const auto settle = [&self] {
      ncclResult_t state = ncclInProgress;
      while (state == ncclInProgress) self.ok(self.nccl.async_error(self.comm, &state), "ncclCommGetAsyncError");
      self.ok(state, "state");
    };
    settle();
    float* data = self.buffer(std::vector<float>(3, 1.0F));
    const auto sum = [&] { return self.nccl.all_reduce(data, data, 3, ncclFloat32, ncclSum, self.comm, self.stream); };
    require(sum() == ncclInProgress, "the call is in progress");
    require(sum() == ncclInvalidArgument, "and another one too early");
    settle();
    self.expect(data, std::vector<float>(3, 2.0F), "sum");
    require(self.nccl.finalize(self.comm) == ncclInProgress, "finalize");
    settle();
    self.end();
  });
}

TEST_F(FakeNccl, peer_that_was_killed_is_an_asynchronous_error_of_the_others) {
  const auto outcomes = run(3, [](Rank& self) {
    self.connect();
    float* data = self.buffer(std::vector<float>(3, 1.0F));
    self.meet();
    if (self.rank == 1) (void)kill(getpid(), SIGKILL);
    self.ok(self.nccl.all_reduce(data, data, 3, ncclFloat32, ncclSum, self.comm, self.stream), "ncclAllReduce");
    ncclResult_t state = ncclSuccess;
    while (state == ncclSuccess) self.ok(self.nccl.async_error(self.comm, &state), "ncclCommGetAsyncError");
    require(state == ncclRemoteError, "remote error");
    require(std::string(self.nccl.last_error(self.comm)).find("rank 1") != std::string::npos, "who is gone");
    require(self.cuda.query(self.stream) == cudaErrorNotReady, "the stream waits on");
    (void)self.cuda.last_error();
    self.ok(self.nccl.abort(self.comm), "ncclCommAbort");
    self.comm = nullptr;
    Rank::ok(self.cuda.wait(self.stream), "cudaStreamSynchronize");
    self.end();
  });
  EXPECT_TRUE(WIFSIGNALED(outcomes[1].status));
  EXPECT_TRUE(outcomes[0].is_well()) << outcomes[0].said;
  EXPECT_TRUE(outcomes[2].is_well()) << outcomes[2].said;
}

TEST_F(FakeNccl, ranks_that_disagree_are_stopped) {
  struct Disagreement {
    std::function<void(Rank&, float*)> call;
    const char* words;
  };
  const std::vector<Disagreement> all = {
      {[](Rank& self, float* data) {
         const auto count = static_cast<std::size_t>(4 - self.rank);
         (void)self.nccl.all_reduce(data, data, count, ncclFloat32, ncclSum, self.comm, self.stream);
       },
       "rank 0 calls ncclAllReduce of 4 f32, reduction 0, but rank 1 ncclAllReduce of 3 f32"},
      {[](Rank& self, float* data) {
         const auto type = self.rank == 0 ? ncclFloat32 : ncclInt32;
         (void)self.nccl.all_reduce(data, data, 2, type, ncclSum, self.comm, self.stream);
       },
       "but rank 1 ncclAllReduce of 2 i32"},
      {[](Rank& self, float* data) {
         if (self.rank == 0) (void)self.nccl.send(data, 2, ncclFloat32, 1, self.comm, self.stream);
         if (self.rank == 1) (void)self.nccl.receive(data, 3, ncclFloat32, 0, self.comm, self.stream);
       },
       "rank 0 sends 2 f32, but rank 1 receives 3 f32"},
      {[](Rank& self, float* data) {
         if (self.rank == 0) (void)self.nccl.all_reduce(data, data, 2, ncclFloat32, ncclSum, self.comm, self.stream);
         if (self.rank == 1) self.ok(self.nccl.destroy(self.comm), "ncclCommDestroy");
       },
       "destroyed"}};
  for (const Disagreement& one : all) {
    const auto outcomes = run(2, [&one](Rank& self) {
      self.connect();
      float* data = self.buffer(std::vector<float>(4, 1.0F));
      one.call(self, data);
      // One of them may be told that the other is gone, and wait for the abort.
      ncclResult_t state = ncclSuccess;
      while (self.cuda.query(self.stream) == cudaErrorNotReady && state == ncclSuccess) {
        (void)self.cuda.last_error();
        self.ok(self.nccl.async_error(self.comm, &state), "ncclCommGetAsyncError");
      }
      _exit(0);
    });
    EXPECT_THAT(outcomes[0].said + outcomes[1].said, HasSubstr(one.words));
    EXPECT_FALSE(outcomes[0].is_well() && outcomes[1].is_well());
  }
}

TEST_F(FakeNccl, misuse_is_found) {
  struct Misuse {
    std::function<void(Rank&, float*)> call;
    const char* words;
  };
  const std::vector<Misuse> all = {
      {[](Rank& self, float* data) {
         (void)self.nccl.all_reduce(data, data, 5, ncclFloat32, ncclSum, self.comm, self.stream);
       },
       "no live memory of its GPU"},
      {[](Rank& self, float* data) {
         (void)self.nccl.all_reduce(data, data + 1, 3, ncclFloat32, ncclSum, self.comm, self.stream);
       },
       "overlap"},
      {[](Rank& self, float* data) {
         self.ok(self.nccl.destroy(self.comm), "ncclCommDestroy");
         (void)self.nccl.all_reduce(data, data, 3, ncclFloat32, ncclSum, self.comm, self.stream);
       },
       "that was destroyed"},
      {[](Rank& self, float* data) {
         void* handle = nullptr;
         self.ok(self.nccl.register_buffer(self.comm, data, 16, &handle), "ncclCommRegister");
         self.end();
       },
       "never deregistered"},
      {[](Rank& self, float* /*data*/) {
         self.comm = nullptr;
         self.end();
       },
       "1 communicators were never destroyed"}};
  for (const Misuse& one : all) {
    const auto outcomes = run(1, [&one](Rank& self) {
      self.connect();
      one.call(self, self.buffer(std::vector<float>(4, 1.0F)));
    });
    EXPECT_FALSE(outcomes[0].is_well());
    EXPECT_THAT(outcomes[0].said, HasSubstr(one.words));
  }
}

TEST_F(FakeNccl, one_gpu_for_two_ranks_is_refused) {
  run_well(2, [](Rank& self) {
    Rank::ok(self.cuda.set_device(0), "cudaSetDevice");
    require(self.begin() == ncclInvalidUsage, "refused");
    require(std::string(self.nccl.last_error(self.comm)).find("Duplicate GPU detected") != std::string::npos, "why");
    self.ok(self.nccl.abort(self.comm), "ncclCommAbort");
    self.comm = nullptr;
    self.end();
  });
}

TEST_F(FakeNccl, planted_hang_ends_with_the_abort_alone) {
  environment["RACKPROOF_FAKE_FAULTS"] = "hang@all_reduce=2@rank=1";
  run_well(2, [](Rank& self) {
    self.connect();
    float* data = self.buffer(std::vector<float>(3, 1.0F));
    const auto sum = [&] {
      self.ok(self.nccl.all_reduce(data, data, 3, ncclFloat32, ncclSum, self.comm, self.stream), "ncclAllReduce");
    };
    sum();
    self.expect(data, std::vector<float>(3, 2.0F), "the first works");
    sum();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    require(self.cuda.query(self.stream) == cudaErrorNotReady, "the second does not end");
    (void)self.cuda.last_error();
    ncclResult_t state = ncclSuccess;
    self.ok(self.nccl.async_error(self.comm, &state), "ncclCommGetAsyncError");
    require(state == ncclSuccess, "and nobody says why");
    self.meet();
    self.ok(self.nccl.abort(self.comm), "ncclCommAbort");
    self.comm = nullptr;
    self.end();
  });
}

TEST_F(FakeNccl, planted_wrong_sum_is_in_one_element_of_one_rank) {
  environment["RACKPROOF_FAKE_FAULTS"] = "wrong_sum@rank=1";
  run_well(3, [](Rank& self) {
    self.connect();
    float* data = self.buffer(std::vector<float>(100, 1.0F));
    self.ok(self.nccl.all_reduce(data, data, 100, ncclFloat32, ncclSum, self.comm, self.stream), "ncclAllReduce");
    const auto sums = self.content(data, 100);
    require(std::count(sums.begin(), sums.end(), 3.0F) == (self.rank == 1 ? 99 : 100), "sums");
    self.end();
  });
}

TEST_F(FakeNccl, debug_output_names_algorithm_and_protocol) {
  environment["NCCL_DEBUG"] = "INFO";
  environment["NCCL_DEBUG_SUBSYS"] = "INIT,TUNING";
  environment["NCCL_DEBUG_FILE"] = file("debug%p");
  run_well(2, [](Rank& self) {
    self.connect();
    float* data = self.buffer(std::vector<float>(4, 1.0F));
    self.ok(self.nccl.all_reduce(data, data, 4, ncclFloat32, ncclSum, self.comm, self.stream), "ncclAllReduce");
    self.end();
  });
  std::string all;
  for (const auto& entry : std::filesystem::directory_iterator(file(""))) {
    if (entry.path().filename().string().rfind("debug", 0) != 0) continue;
    std::ifstream one(entry.path());
    all += (std::ostringstream() << one.rdbuf()).str();
  }
  EXPECT_THAT(all, HasSubstr("NCCL version 2."));
  EXPECT_THAT(all, HasSubstr("NCCL INFO AllReduce: 16 Bytes -> Algo RING proto LL channel{Lo..Hi}={0..0}"));
}

}  // namespace
