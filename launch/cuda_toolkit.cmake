# Whether the cuda and nccl backends are built, and for which GPUs: sets RACKPROOF_HAS_CUDA, and where it is on enables
# the language and finds the toolkit.
#
# The CUDA runtime is linked shared. cuBLASLt, NCCL and NVML are loaded when a GPU is opened: they take 0.1 s and 200 MB
# to load, which the commands that only read files need not spend.
set(RACKPROOF_HAS_CUDA OFF)
if(NOT RACKPROOF_CUDA STREQUAL "OFF" AND RACKPROOF_MPI AND NOT RACKPROOF_SMPI AND NOT RACKPROOF_SANITIZE)
  find_program(RACKPROOF_NVCC nvcc HINTS ENV CUDACXX ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda
               PATH_SUFFIXES bin)
  if(RACKPROOF_NVCC)
    set(RACKPROOF_HAS_CUDA ON)
  elseif(RACKPROOF_CUDA STREQUAL "ON")
    message(FATAL_ERROR "RACKPROOF_CUDA is ON, but there is no nvcc: install the CUDA Toolkit (12.4 or later), or set "
                        "CUDA_HOME to where it is")
  endif()
elseif(RACKPROOF_CUDA STREQUAL "ON")
  message(FATAL_ERROR "RACKPROOF_CUDA is ON, which needs RACKPROOF_MPI and neither RACKPROOF_SMPI nor RACKPROOF_SANITIZE")
endif()

if(RACKPROOF_HAS_CUDA)
  if(NOT CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_COMPILER ${RACKPROOF_NVCC})
  endif()
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80-real) # what CMake tries the compiler with
  endif()
  if(RACKPROOF_CCACHE AND NOT CMAKE_CUDA_COMPILER_LAUNCHER)
    set(CMAKE_CUDA_COMPILER_LAUNCHER ${RACKPROOF_CCACHE})
  endif()
  enable_language(CUDA)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION) # nvcc does C++20 since 12.0; CMake 3.25 does not know
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  endif()
  set(CMAKE_CUDA_STANDARD 20)
  set(CMAKE_CUDA_STANDARD_REQUIRED ON)
  set(CMAKE_CUDA_EXTENSIONS OFF)
  set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)
  find_package(CUDAToolkit 12.4 REQUIRED)
  set(known 80-real 90a-real)
  if(CUDAToolkit_VERSION VERSION_GREATER_EQUAL 12.8)
    list(APPEND known 100a-real)
  endif()
  if(CUDAToolkit_VERSION VERSION_GREATER_EQUAL 12.9)
    list(APPEND known 103a-real)
  endif()
  if(CUDAToolkit_VERSION VERSION_GREATER_EQUAL 12.8)
    list(APPEND known 120) # with PTX, for what comes later
  endif()
  if(RACKPROOF_CUDA_ARCHITECTURES)
    set(known ${RACKPROOF_CUDA_ARCHITECTURES})
  endif()
  set(CMAKE_CUDA_ARCHITECTURES ${known})
  find_path(RACKPROOF_NCCL_INCLUDE nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
  find_library(RACKPROOF_NCCL_LIBRARY nccl HINTS ${CUDAToolkit_LIBRARY_DIR})
endif()
