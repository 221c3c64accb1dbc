"""HTML and SVG as trees, so that no text can become markup: what is foreign is escaped where it is written, not where it is used."""

from collections.abc import Iterable
from xml.etree import ElementTree

from kubectl_vxtrace.model.text import clean

Element = ElementTree.Element
Child = Element | str | None
Content = Child | Iterable["Content"]
"""Also nested."""


def tag(name: str, /, *children: Content, **attributes: str | float | None) -> Element:
    """An element with its children in order: elements, texts, sequences of both; None stands for nothing.

    Attributes are named as in Python: `class_`, `stroke_width`; None leaves one out.
    """
    element = Element(name)
    for key, value in attributes.items():
        if value is not None:
            element.set(
                key.rstrip("_").replace("_", "-"), clean(f"{value:g}" if isinstance(value, float) else str(value), keep_newlines=False)
            )
    for child in children:
        _add(element, child)
    return element


def document(root: Element) -> str:
    """The page, with its doctype."""
    return f"<!doctype html>\n{ElementTree.tostring(root, encoding='unicode', method='html')}\n"


def _add(element: Element, child: Content) -> None:
    if child is None:
        return
    if isinstance(child, str):
        text = clean(child)
        if len(element):
            element[-1].tail = (element[-1].tail or "") + text
        else:
            element.text = (element.text or "") + text
    elif isinstance(child, Element):
        element.append(child)
    else:
        for each in child:
            _add(element, each)
