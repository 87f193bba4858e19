// What the fake CUDA runtime offers beside CUDA: to the program that launches kernels, and to the other fakes.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

extern "C" {
/// What a launch of `host_stub` runs in place of the GPU's code, on a thread of the stream. The arguments are copies.
void rackproof_fake_register_kernel(const void* host_stub,
                                    void (*twin)(void** arguments, dim3 grid, dim3 block, std::size_t shared_bytes));

/// Calls work(argument) in stream order, on a thread that may read and write device memory; in a capture, at each
/// replay. Returns the cudaError_t that the stream's device is in, and does nothing where that is not cudaSuccess.
int rackproof_fake_enqueue(cudaStream_t stream, void (*work)(void*), void* argument);
/// The same; `discard`(argument) is called once when neither the stream nor a graph needs the argument any more.
int rackproof_fake_enqueue_owned(cudaStream_t stream, void (*work)(void*), void* argument, void (*discard)(void*));

/// 1 where all these bytes are live memory of the calling thread's device.
int rackproof_fake_owns(const void* pointer, std::size_t bytes);
/// The calling thread may from now on read and write device memory, as threads of streams may.
void rackproof_fake_open_memory();

/// The cudaError_t that the GPU on that PCI bus (Identity::pci_bus) is in; cudaSuccess for one that this process does
/// not see.
int rackproof_fake_state(int pci_bus);

/// Takes as much longer as slow_rank asks for of work that took so long; for kernels and products of other fakes.
void rackproof_fake_stretch(double seconds);
/// Of a step that is being worked on: how long a GPU would take for it, where GPUs have a time of their own
/// (RACKPROOF_FAKE_TIMES). A step that does not say takes 2 us.
void rackproof_fake_takes(double seconds);
/// 1 where what is left at the end of the process is no leak: a GPU is broken or hangs, a library was told to abort,
/// MPI ended the process before its time, or this is another process than the one that began.
int rackproof_fake_forgives_leaks();
/// From now on it is none.
void rackproof_fake_forgive_leaks();

/// Never returns: of a thread whose work on the GPU hangs.
[[noreturn]] void rackproof_fake_hang();
/// Never returns where work hangs: of what waits for the whole GPU before it destroys something.
void rackproof_fake_wait_for_what_hangs();

/// Misuse was found: prints "fake cuda: MESSAGE" on stderr and aborts.
[[noreturn]] void rackproof_fake_fail(const char* message);
}
