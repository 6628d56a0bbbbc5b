# Runs under every Python that a host may have: Python 3.7 syntax, standard library only.
"""Drive a running service by the host client; print what was seen as JSON."""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(sys.argv[1]))
import wetgate_client as w


def main(home, plate, out):
    seen = {"python": list(sys.version_info[:2])}
    with w.Client(home=home, name="selftest", timeout=30.0) as client:
        seen["pid"] = client.connect(start=False)["pid"]
        seen["recipes"] = [recipe["name"] for recipe in client.recipes()]
        files = sorted(os.path.join(plate, name) for name in os.listdir(plate))
        said = client.probe(files=files[:2])
        seen["probe"] = [said["first"], said["last"], said["chosen"]]
        asked = {"files": files[:2], "out": out, "recipe": "identity"}
        job = client.submit(label="from a host", **asked)
        events = [event["event"] for event in client.events(job["id"])]
        seen["events"] = [name for name in events if name != "heartbeat"]
        seen["state"] = client.job(job["id"])["state"]
        seen["frames"] = [os.path.basename(f["path"]) for f in client.results(job["id"])["frames"]]
        with client.preview(plate=plate, frame=said["first"], recipe="identity") as preview:
            seen["shape"] = list(preview.shape)
            seen["sum"] = round(sum(preview.data.cast("f")), 3)
        try:
            client.job("20260101-000000-00000000")
        except w.WetgateError as error:
            seen["error"] = [error.code, error.status]
        try:
            client.submit(plate=plate)
        except w.WetgateError as error:
            seen["refused"] = [error.code, error.status]
        client.forget(job["id"])
    names = [w.frame_number("/a/p2.1001.exr"), w.sequence_pattern("/a/p2.0101.exr")]
    names += [w.frame_path("/a%b/p.%04d.exr", 7), w.frame_ranges([3, 1, 2, 9, 9, 7])]
    seen["names"] = names
    print(json.dumps(seen))


main(*sys.argv[2:])
