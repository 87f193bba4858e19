# shellcheck shell=bash
# The Debian and Ubuntu packages that rackproof needs, and their installation. Read with `source` by launch/local.sh,
# tests/run.sh and tests/scale/run.sh, which set `root`, the folder of the sources; the names are those of Debian 12 and
# Ubuntu 24.04.

# The arrays are for those who read this file.
# shellcheck disable=SC2034

# To build and to run.
build_packages=(
  g++ cmake ninja-build ccache pkg-config
  openmpi-bin libopenmpi-dev
  libhdf5-dev zlib1g-dev libbenchmark-dev
  libdnnl-dev ocl-icd-opencl-dev # oneDNN's CMake files look for OpenCL
  libopenblas-dev libhwloc-dev libxxhash-dev
  libcli11-dev libfmt-dev libspdlog-dev nlohmann-json3-dev libtomlplusplus-dev
  libboost-dev # headers alone: Math, Random, Uuid
  gnuplot-nox # the charts of `rackproof report`
)

# To test, beside those.
# clang-format and clang-tidy by number: what one version likes, the next one changes.
test_packages=(
  git libgtest-dev libgmock-dev
  mpich libmpich-dev
  libblis-openmp-dev # another BLAS to compare with: RACKPROOF_BLAS=blis
  libsimgrid-dev # simulated ranks: tests/scale
  hdf5-tools python3 python3-h5py python3-xarray python3-h5netcdf python3-netcdf4 python3-pandas python3-scipy
  chromium chromium-driver python3-selenium # the page of `rackproof report` as a browser sees it
  python3-prometheus-client libbenchmark-tools # who reads what `export` writes
  clang-14 libclang-rt-14-dev # libFuzzer: tests/fuzz
  clang-format-14 clang-tidy-14 libomp-14-dev shellcheck # clang-tidy wants an omp.h of its own
)

# For a rack on this machine (launch/virtual-rack), beside those to run.
rack_packages=(
  slurm-wlm munge libpmix2 # Slurm with its PMIx plugin
  iproute2 util-linux procps # namespaces, cables and their speed
  openmpi-bin
)

# What is compiled in one clone is found in the cache by another; that the tests precompile headers, ccache wants to be
# told.
# shellcheck disable=SC2154 # root is set by those who read this file
export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=pch_defines,time_macros

# missing_packages NAME...: those that are not installed, one a line.
missing_packages() {
  comm -13 <(dpkg-query --show --showformat='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null |
    sed -n 's/^installed //p' | sort -u) <(printf '%s\n' "$@" | sort -u)
}

# need_packages INSTALL NAME...: installs what is missing. Where INSTALL is "no", or it cannot be done, the missing
# packages are named and the script exits 2. Nothing is done where nothing is missing.
need_packages() {
  local install=$1 as_root=()
  shift
  if ! command -v dpkg-query >/dev/null; then
    echo "${0##*/}: this system has no dpkg, so nothing is installed; needed is what Debian calls: $*" >&2
    return 0
  fi
  local missing
  mapfile -t missing < <(missing_packages "$@")
  [[ ${#missing[@]} -eq 0 ]] && return 0

  local by_hand="apt-get install --no-install-recommends ${missing[*]}"
  if [[ $install == no ]]; then
    echo "${0##*/}: ${#missing[@]} packages are missing; install them with: $by_hand" >&2
    exit 2
  fi
  if [[ $EUID -ne 0 ]]; then
    if ! command -v sudo >/dev/null; then
      echo "${0##*/}: ${#missing[@]} packages are missing and there is no sudo; as root: $by_hand" >&2
      exit 2
    fi
    as_root=(sudo)
  fi
  echo "installing: ${missing[*]}"
  as_root+=(env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 -qq)
  # A package source of the user's that does not answer must not stop the rest.
  "${as_root[@]}" update || echo "${0##*/}: apt-get update failed; going on with the package lists there are" >&2
  if ! "${as_root[@]}" install --yes --no-install-recommends "${missing[@]}" >/dev/null; then
    echo "${0##*/}: apt-get could not install the packages; by hand: $by_hand" >&2
    exit 2
  fi
}

# mpi_options: what tells CMake which MPI to take where several are installed, whichever is the system's default:
# Open MPI's.
mpi_options() {
  if command -v mpicc.openmpi mpirun.openmpi >/dev/null; then
    printf '%s\n' "-DMPI_C_COMPILER=$(command -v mpicc.openmpi)" "-DMPIEXEC_EXECUTABLE=$(command -v mpirun.openmpi)"
  fi
}

# quietly LOG COMMAND...: runs COMMAND with its output in LOG, and shows that where it fails.
quietly() {
  local log=$1 status=0
  shift
  mkdir -p "$(dirname "$log")"
  "$@" >"$log" 2>&1 || status=$?
  if [[ $status -ne 0 ]]; then
    cat "$log" >&2
    echo "${0##*/}: failed: $*" >&2
  fi
  return "$status"
}
