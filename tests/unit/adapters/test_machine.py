from __future__ import annotations

import json
import socket

from pipeline.adapters.machine import machine


def test_a_machine_is_described_without_its_name() -> None:
    found = machine()
    assert json.loads(json.dumps(found)) == found
    assert found["system"].startswith("Linux ")
    assert found["processors"] >= 1
    assert found["memory_bytes"] > 64 * 2**20
    assert {"onedigest", "Python", "locust", "boto3"} <= set(found["versions"])
    if len(socket.gethostname()) > 3:
        assert socket.gethostname() not in json.dumps(found)
