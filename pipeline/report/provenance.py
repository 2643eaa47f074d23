"""Where a run's result comes from: the image, the chain of records, the machine and the settings."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from pipeline.report.reading import Recorded
from pipeline.report.wording import (
    NONE,
    Column,
    binary_size,
    chip,
    code,
    count,
    join,
    pairs,
    said,
    short,
    table,
)


def image(stage: Recorded) -> Markup:
    """What the build stage knows of the image."""
    facts = stage["facts"]
    changed = ", ".join(name.text for name in facts["changed"])
    dirty = f" with uncommitted changes ({changed})" if facts["dirty"].flag else ""
    bases = [(name, code(found.text)) for name, found in facts["base_images"].items()]
    return join(
        [
            pairs(
                [
                    ("source", Markup("{}{}").format(code(facts["commit"].text), dirty)),
                    ("size", binary_size(facts["size"])),
                    ("components in its bill of materials", count(stage["metrics"]["components"])),
                    ("platform", said(facts["platform"])),
                ]
            ),
            table("Base images", [Column("image"), Column("digest")], bases) if bases else "",
        ]
    )


def chain(document: Recorded) -> Markup:
    """Each stage's record: its digest, and the digests of the records on which its gate let it begin."""
    stages = list(document["stages"])
    here = {stage["evidence"].text: stage["name"].text for stage in stages if stage["evidence"]}
    links = join(_record(stage, here) for stage in stages)
    subject = document["digest"].text
    about = Markup("<p>Every record is a signed statement about {}, kept beside the image.</p>").format(
        code(subject)
    )
    check = Markup("<p>Checked and listed by {}.</p>").format(
        code(f"python -m pipeline evidence {short(subject)}")
    )
    return join([about, Markup('<ol class="chain">{}</ol>').format(links), check if subject else ""])


def _record(stage: Recorded, here: Mapping[str, str]) -> Markup:
    name, own = stage["name"].text, stage["evidence"].text
    outcome = "reused" if stage["reused"].flag else stage["outcome"].text
    rows = [("record", code(own) if own else "none was written"), ("commits to", _inputs(stage, here))]
    policy = stage["facts"]["policy"].text
    if policy:
        rows.append(("admitted by the rules", code(policy)))
    return Markup('<li id="record-{}"><h3>{} {}</h3>{}</li>').format(name, name, chip(outcome), pairs(rows))


def _inputs(stage: Recorded, here: Mapping[str, str]) -> Markup:
    found = [
        Markup("<li>{}: {}{}</li>").format(
            name,
            code(record.text),
            Markup(' <a href="#record-{}">above</a>').format(here[record.text])
            if record.text in here
            else " (of an earlier run)",
        )
        for name, record in stage["inputs"].items()
    ]
    if found:
        return Markup('<ul class="inputs">{}</ul>').format(join(found))
    return Markup("nothing before it") if stage["name"].text == "build" else NONE


def surroundings(document: Recorded) -> Markup:
    """The machine, versions and settings that the run was made with."""
    machine, settings = document["machine"], document["settings"]
    where = " in ".join(settings[name].text for name in ("provider", "region") if settings[name])
    versions = [(name, version.text) for name, version in machine["versions"].items()]
    return join(
        [
            pairs(
                [
                    ("machine", said(machine["system"])),
                    ("processors", _processors(machine)),
                    ("memory", binary_size(machine["memory_bytes"])),
                    ("cloud", where or NONE),
                    (
                        "settings",
                        Markup("{} {}").format(settings["file"].text, code(settings["digest"].text)),
                    ),
                ]
            ),
            table("Versions", [Column("program"), Column("version")], versions) if versions else "",
        ]
    )


def _processors(machine: Recorded) -> Markup:
    if machine["processors"].number is None:
        return NONE
    return Markup("{} {}").format(count(machine["processors"]), machine["processor"].text)
