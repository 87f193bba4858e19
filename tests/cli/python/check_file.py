#!/usr/bin/python3
"""Opens a result file with the tools that people use, without any code of rackproof, and checks that all of them see
the same: h5py, xarray with both engines, pandas and h5dump. Exits with 1 at the first thing that is not as
results/README.md says.

usage: check_file.py FILE [SUITE...]     (SUITE: a suite that must be in the file)

Needs Debian's python3-h5py, python3-xarray, python3-h5netcdf, python3-netcdf4, python3-pandas and hdf5-tools.
"""
import subprocess
import sys
import uuid

import h5py
import numpy as np
import pandas as pd
import xarray as xr

STATUS = ["not_run", "passed", "mistrusted", "failed", "skipped", "error"]
MEASURED = (1, 2, 3)
# name: dimensions, kinds of numpy types, units
COLUMNS = {
    "time": (("case", "rank", "sample"), "f8", "s"),
    "begin": (("case", "rank", "sample"), "f8", "s"),
    "host_time": (("case", "rank", "sample"), "f8", "s"),
    "timer": (("case",), "i1", None),
    "flags": (("case", "rank", "sample"), "u1", None),
    "switches": (("case", "rank", "sample"), "u2", None),
    "probe": (("case", "rank", "sample"), "f4", "s"),
    "steal": (("case", "rank", "sample"), "f4", "s"),
    "clock_error_before": (("case",), "f8", "s"),
    "clock_error_after": (("case",), "f8", "s"),
    "operations": (("case",), "i4", None),
    "warmup_time": (("case", "warmup"), "f8", "s"),
    "figure_time": (("case", "sample"), "f8", "s"),
    "samples": (("case", "rank"), "i4", None),
    "verify_error": (("case", "rank"), "f8", "1"),
    "digest": (("case", "rank"), "u8", None),
    "status": (("case",), "i1", None),
    "stop_reason": (("case",), "i1", None),
    "warmup_steps": (("case",), "i4", None),
    "clock_error": (("case",), "f8", "s"),
    "flop": (("case",), "f8", None),
    "bytes": (("case",), "f8", None),
    "tokens": (("case",), "f8", None),
    "message_size": (("case",), "i8", None),
    "collective": (("case",), "i1", None),
}
ENGINES = ("h5netcdf", "netcdf4")


def check(condition, what):
    if not condition:
        sys.exit(f"{sys.argv[1]}: {what}")


def text(values):
    """Strings as str, however a tool gives them."""
    return [v.decode() if isinstance(v, bytes) else str(v) for v in np.ravel(values)]


def check_root(file):
    attributes = file.attrs
    check(attributes["schema_name"] == "rackproof", "schema_name")
    check(attributes["schema_version"] == 1, "schema_version")
    check(attributes["software"] == "rackproof" and attributes["softwareVersion"], "software")
    check(uuid.UUID(attributes["run_id"]).version == 4, "run_id is no UUID of version 4")
    pd.Timestamp(attributes["date"])
    check(attributes["device_fake"] in (0, 1) and attributes["recovered"] in (0, 1), "device_fake or recovered")
    ranks = len(file["rank"])
    check(list(file["rank"][...]) == list(range(ranks)) and h5py.h5ds.is_scale(file["rank"].id), "/rank")
    for name in ("hostname", "device_id", "device_name", "serial", "uuid", "node_index", "local_rank"):
        check(file[name].shape == (ranks,), f"/{name} has the wrong shape")
        check(file[name].dims[0][0] == file["rank"], f"/{name} has no scale")
    for name in ("command", "configuration", "environment", "topology", "libraries", "labels"):
        check(isinstance(file["provenance"][name].asstr()[()], str), f"/provenance/{name}")
    for engine in ENGINES:
        with xr.open_dataset(sys.argv[1], engine=engine) as root:
            check(text(root["hostname"].values) == list(file["hostname"].asstr()[...]), f"hostname by {engine}")
            check(text(root["serial"].values) == list(file["serial"].asstr()[...]), f"serial by {engine}")
            check(root.attrs["run_id"] == attributes["run_id"], f"run_id by {engine}")
    return ranks


def check_telemetry(file):
    """What was read beside the measuring."""
    if "telemetry" not in file:
        return
    group, ranks = file["telemetry"], len(file["rank"])
    ticks, shape = group["ticks"][...], (ranks, len(group["tick"]))
    check(((ticks >= 0) & (ticks <= shape[1])).all(), "/telemetry/ticks")
    check((np.isfinite(group["time"][...]).sum(axis=1) == ticks).all(), "/telemetry: ticks is not the number of times")
    check((np.diff(group["time"][...], axis=1)[np.isfinite(np.diff(group["time"][...], axis=1))] > 0).all(),
          "/telemetry/time does not rise")
    quantities = [name for name, dataset in group.items() if "telemetry_kind" in dataset.attrs]
    check(quantities, "/telemetry has no quantity")
    for name in ("time", *quantities):
        dataset = group[name]
        check(dataset.shape == shape, f"{dataset.name} has the shape {dataset.shape}")
        check(dataset.dims[0][0] == file["rank"] and dataset.dims[1][0] == group["tick"], f"{dataset.name} has no scale")
        if name != "time" and dataset.attrs["telemetry_kind"] == "bits":
            masks, meanings = dataset.attrs["flag_masks"], dataset.attrs["flag_meanings"].split()
            check(len(masks) == len(meanings), f"flag_meanings of {dataset.name}")
            check((dataset[...] & ~np.bitwise_or.reduce(masks) == 0).all(), f"{dataset.name} has bits without a name")
    for engine in ENGINES:
        with xr.open_dataset(sys.argv[1], engine=engine, group="/telemetry") as data:
            check(set(quantities) <= set(data.data_vars), f"{engine}: other telemetry")
            for name in quantities:
                check(data[name].dims == ("rank", "tick"), f"{engine}: dimensions of {name}")
                check(np.array_equal(data[name].values, group[name][...], equal_nan=True), f"{engine}: other {name}")


def check_dataset(group, name, dimensions, kind, units):
    dataset = group[name]
    check(dataset.dtype == np.dtype(kind), f"{dataset.name} is {dataset.dtype}, not {kind}")
    shape = {"case": len(group["case"]), "sample": len(group["sample"]), "warmup": len(group["warmup"]),
             "rank": len(group.file["rank"])}
    check(dataset.shape == tuple(shape[d] for d in dimensions), f"{dataset.name} has the shape {dataset.shape}")
    for i, dimension in enumerate(dimensions):
        scale = group.file["rank"] if dimension == "rank" else group[dimension]
        check(len(dataset.dims[i]) == 1 and dataset.dims[i][0] == scale, f"{dataset.name}: dimension {i} has no scale")
    check(dataset.attrs.get("units") == units, f"{dataset.name}: units {dataset.attrs.get('units')}, not {units}")


def check_values(group):
    """What the numbers of one suite must be among themselves."""
    status, samples, time = group["status"][...], group["samples"][...], group["time"][...]
    figure = group["figure_time"][...]
    check(list(group["status"].attrs["flag_values"]) == list(range(6)), "flag_values of status")
    check(group["status"].attrs["flag_meanings"].split() == STATUS, "flag_meanings of status")
    check(list(group["flags"].attrs["flag_masks"]) == [1, 2, 4], "flag_masks of flags")
    check(len(group["flags"].attrs["flag_meanings"].split()) == len(group["flags"].attrs["flag_masks"]), "flag_meanings of flags")
    check(len(group["stop_reason"].attrs["flag_values"]) == len(group["stop_reason"].attrs["flag_meanings"].split()),
          "flag_meanings of stop_reason")
    check(np.isin(status, group["status"].attrs["flag_values"]).all(), "status")
    check(np.isin(group["stop_reason"][...], group["stop_reason"].attrs["flag_values"]).all(), "stop_reason")
    check((np.isfinite(time).sum(axis=2) == samples).all(), f"{group.name}: samples is not the number of times")
    check((time[np.isfinite(time)] > 0).all(), f"{group.name}: a time is not above 0")
    by_device = group["timer"][...] == 1
    host = group["host_time"][...]
    check(group["timer"].attrs["flag_meanings"].split() == ["host", "device"], "flag_meanings of timer")
    check(not np.isfinite(host[~by_device]).any(), f"{group.name}: host_time where time is the host's")
    check((np.isfinite(host[by_device]) == np.isfinite(time[by_device])).all(), f"{group.name}: host_time is incomplete")
    for i, name in enumerate(group["case"].asstr()[...]):
        measured = np.isfinite(figure[i]).sum()
        check(status[i] not in MEASURED or (measured > 0 and measured == samples[i].max()),
              f"{name}: {STATUS[status[i]]} with {measured} figures and {samples[i]} samples")
        check(status[i] not in (0, 4) or samples[i].sum() == 0, f"{name}: {STATUS[status[i]]} with samples")
        if status[i] in MEASURED and not group["collective"][i]:
            # Of ranks that each do their own, the figure's time is that of the slowest.
            slowest = np.nanmax(time[i][:, :measured], axis=0)
            full = (samples[i] == measured).all()
            check(not full or np.allclose(figure[i][:measured], slowest, rtol=1e-6),
                  f"{name}: figure_time is not the largest time of a rank")
    if "partner" in group:
        check_partners(group)
    for name, dataset in group["figures"].items():
        check(dataset.attrs["kind"] in ("rate", "time") and dataset.attrs["units"] != "", f"figure {name}")
        check(dataset.dims[0][0] == group["case"], f"figure {name} has no scale")


def check_partners(group):
    """Who met whom: ranks name each other, and whoever met nobody in such a case has no samples."""
    check_dataset(group, "partner", ("case", "rank"), "i4", None)
    partner, samples = group["partner"][...], group["samples"][...]
    ranks = np.arange(partner.shape[1])
    for i, name in enumerate(group["case"].asstr()[...]):
        met = partner[i] >= 0
        check((partner[i][partner[i][met]] == ranks[met]).all(), f"{name}: ranks do not name each other")
        check(not met.any() or (samples[i][~met] == 0).all(), f"{name}: a rank without a partner has samples")


def check_xarray(group, name):
    with h5py.File(sys.argv[1]) as file:
        parameters = [n for n, d in file[group.name].items() if "parameter" in d.attrs]
    for engine in ENGINES:
        with xr.open_dataset(sys.argv[1], engine=engine, group=f"/suites/{name}") as data:
            for column, (dimensions, kind, _) in COLUMNS.items():
                check(column in data, f"{engine} does not see {group.name}/{column}")
                check(data[column].dims == dimensions, f"{engine}: {column} has the dimensions {data[column].dims}")
                check(data[column].dtype == np.dtype(kind), f"{engine}: {column} is {data[column].dtype}")
                check(np.array_equal(data[column].values, group[column][...], equal_nan=kind.startswith("f")),
                      f"{engine}: other values in {column}")
            check(text(data["case"].values) == list(group["case"].asstr()[...]), f"{engine}: other names of cases")
            check(data["message"].dims == ("case",), f"{engine}: message is {data['message'].dims}")
            messages = [bytes(row.tobytes()).rstrip(b"\0").decode() for row in group["message"][...]]
            check(text(data["message"].values) == messages, f"{engine}: other messages")
            for parameter in parameters:
                check(data[parameter].dims == ("case",), f"{engine}: parameter {parameter}")
            # What a user does first.
            medians = data["time"].where(data["status"] == 1).median(dim="sample")
            check(medians.shape == group["time"].shape[:2], f"{engine}: medians")
            table = data[["status", "message_size", *parameters]].to_dataframe()
            check(len(table) == len(group["case"]), f"{engine}: pandas table")
        with xr.open_dataset(sys.argv[1], engine=engine, group=f"/suites/{name}/figures") as figures:
            check(set(figures.data_vars) == set(group["figures"]), f"{engine}: other figures")


def check_pandas(group):
    """The figures from the raw samples, in pandas alone."""
    time = pd.DataFrame(group["figure_time"][...], index=group["case"].asstr()[...])
    medians = time.median(axis=1)
    for name, dataset in group["figures"].items():
        amount = pd.Series(dataset[...], index=medians.index)
        value = amount / medians if dataset.attrs["kind"] == "rate" else amount * medians
        known = amount.notna() & medians.notna()
        check(np.isfinite(value[known]).all() and (value[known] > 0).all(), f"figure {name} is not above 0")


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    path, wanted = sys.argv[1], sys.argv[2:]
    with h5py.File(path) as file:
        check_root(file)
        check_telemetry(file)
        suites = list(file["suites"])
        check(suites and set(wanted) <= set(suites), f"suites: {suites}, wanted {wanted}")
        for name in suites:
            group = file["suites"][name]
            for column, expected in COLUMNS.items():
                check_dataset(group, column, *expected)
            check_values(group)
            check_xarray(group, name)
            check_pandas(group)
    header = subprocess.run(["h5dump", "-H", path], capture_output=True, text=True, check=False)
    check(header.returncode == 0 and not header.stderr, f"h5dump -H: {header.stderr.strip()}")
    check(all(f'GROUP "{name}"' in header.stdout for name in suites), "h5dump -H does not name the suites")
    whole = subprocess.run(["h5dump", path], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    check(whole.returncode == 0 and not whole.stderr, f"h5dump: {whole.stderr.strip()}")
    print(f"{path}: {len(suites)} suites, read alike by h5py, xarray ({', '.join(ENGINES)}), pandas and h5dump")


if __name__ == "__main__":
    main()
