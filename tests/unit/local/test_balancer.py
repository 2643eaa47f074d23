from __future__ import annotations

import pytest

from pipeline.local.balancer import Front, Slot, Target, configuration, read_slots, seat

GROUP = "arn:group"
FREE = "0.0.0.0:0"


def target(address: str, owner: str = "task-1", *, draining: bool = False) -> Target:
    return Target(GROUP, address, 8080, owner, draining)


def slot(name: str, address: str = FREE, status: str = "MAINT") -> Slot:
    return Slot(name, address, status, 0, "", "")


def slots(*given: Slot, count: int = 4) -> dict[str, Slot]:
    return {f"s{n}": slot(f"s{n}") for n in range(1, count + 1)} | {s.name: s for s in given}


def test_a_new_target_takes_a_free_slot_in_one_line_and_down_until_its_first_check() -> None:
    commands, seats = seat("b", slots(), {}, [target("10.0.0.5")])

    words = [command.split(" ", 2)[2] for command in commands[0].split("; ")]
    assert len(commands) == 1
    assert words == [
        "b/s1 state maint",
        "b/s1 addr 10.0.0.5 port 8080",
        "b/s1 state ready",
        "b/s1 health down",
    ]
    assert seats == {"s1": target("10.0.0.5")}


def test_nothing_is_ordered_when_everybody_sits_where_they_should() -> None:
    seats = {"s1": target("10.0.0.5")}

    assert seat("b", slots(slot("s1", "10.0.0.5:8080", "UP")), seats, [target("10.0.0.5")]) == ([], seats)


def test_a_target_that_drains_is_drained_once_and_keeps_its_slot() -> None:
    seats = {"s1": target("10.0.0.5")}
    up = slots(slot("s1", "10.0.0.5:8080", "UP"))
    draining = target("10.0.0.5", draining=True)

    commands, after = seat("b", up, seats, [draining])
    again, _ = seat("b", slots(slot("s1", "10.0.0.5:8080", "DRAIN")), after, [draining])

    assert commands == ["set server b/s1 state drain"]
    assert again == []


def test_a_target_that_is_no_longer_wanted_leaves_its_slot() -> None:
    commands, seats = seat("b", slots(slot("s1", "10.0.0.5:8080", "DRAIN")), {"s1": target("10.0.0.5")}, [])

    assert commands == ["set server b/s1 state maint"]
    assert seats == {}


def test_a_new_task_with_a_dead_tasks_address_starts_unchecked_in_another_slot() -> None:
    before = {"s1": target("10.0.0.5", "task-1")}
    commands, seats = seat(
        "b", slots(slot("s1", "10.0.0.5:8080", "UP")), before, [target("10.0.0.5", "task-2")]
    )

    assert commands[0] == "set server b/s1 state maint"
    assert "health down" in commands[1]
    assert seats == {"s2": target("10.0.0.5", "task-2")}


def test_after_haproxy_began_anew_its_empty_slots_are_filled_again() -> None:
    commands, seats = seat("b", slots(), {"s3": target("10.0.0.5")}, [target("10.0.0.5")])

    assert len(commands) == 1
    assert "addr 10.0.0.5" in commands[0]
    assert list(seats.values()) == [target("10.0.0.5")]


def test_a_slot_in_use_that_nobody_knows_of_is_put_out_of_service() -> None:
    commands, _ = seat("b", slots(slot("s2", "10.0.0.9:8080", "UP")), {}, [])

    assert commands == ["set server b/s2 state maint"]


def test_a_target_that_is_already_draining_gets_no_slot() -> None:
    assert seat("b", slots(), {}, [target("10.0.0.5", draining=True)]) == ([], {})


def test_more_targets_than_slots_seat_as_many_as_there_are() -> None:
    wanted = [target(f"10.0.0.{n}", f"task-{n}") for n in range(1, 4)]

    _, seats = seat("b", slots(count=2), {}, wanted)

    assert len(seats) == 2


def test_slots_are_read_from_haproxys_own_table() -> None:
    answer = (
        "# pxname,svname,scur,status,check_status,check_code,addr,\n"
        "env_prod,s1,3,UP,L7OK,200,10.0.0.5:8080,\nenv_prod,s2,0,DOWN,* L7STS,500,10.0.0.6:8080,\n"
    )

    found = read_slots(answer)

    assert found["env_prod"]["s1"] == Slot("s1", "10.0.0.5:8080", "UP", 3, "L7OK", "200")
    assert found["env_prod"]["s2"].check == "L7STS"


def test_an_answer_that_is_no_table_is_an_error() -> None:
    with pytest.raises(ValueError, match="Unknown command"):
        read_slots("Unknown command")


def test_each_environment_gets_its_front_end_and_its_own_check() -> None:
    text = configuration(
        [Front("staging", 8001, "/readyz", "200-299"), Front("prod", 8002, "/healthz", "200")]
    )

    assert "bind :8001" in text
    assert "http-check send meth GET uri /readyz " in text
    assert "http-check expect status 200-299" in text
    assert "default_backend env_prod" in text
