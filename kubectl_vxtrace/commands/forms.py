"""The forms of a report other than the tables that go on a terminal."""

from collections.abc import Iterator

from kubectl_vxtrace.analysis import Examined, every_packet
from kubectl_vxtrace.flags.values import JsonPath, Output
from kubectl_vxtrace.report import document
from kubectl_vxtrace.report.changes import changes
from kubectl_vxtrace.report.html import page


def pieces(found: Examined, form: Output | JsonPath) -> Iterator[str]:
    """The report in one of these forms, in pieces that can be printed one after the other; nothing for a form that is none of them.

    Raises:
        PcapError: a capture can no longer be read, which -o packets does.
    """
    report, recording = found.report, found.case.recording
    match form:
        case Output.JSON:
            yield document.to_json(report)
        case Output.YAML:
            yield document.to_yaml(report)
        case Output.MARKDOWN:
            yield document.to_markdown(report)
        case Output.HTML:
            yield page.render(report, changes(recording.before, recording.after))
        case Output.HANDOFF:
            from kubectl_vxtrace.report import handoff
            from kubectl_vxtrace.report.crossing import crossings

            yield handoff.render(report, crossings(found.case))
        case Output.PACKETS:
            from kubectl_vxtrace.report.lines import lines

            yield from lines(report, every_packet(found))
        case JsonPath(template):
            from kubectl_vxtrace.report import jsonpath

            yield jsonpath.render(template, document.to_builtins(report))
