// What this rank's share of the host can do, measured, for hosts have no data sheet that holds for a share.
#pragma once

#include "common/backends/device.hpp"

namespace rackproof::host {

/// Flop/s: the fastest of several packed products of 512^3, 1024^3 and, where that takes less than a tenth of a second,
/// 2048^3. Bytes/s: the fastest read of a buffer of twice the cache share, at most 512 MiB. About a second.
[[nodiscard]] Peaks measure_host_peaks(Device& device);

}  // namespace rackproof::host
