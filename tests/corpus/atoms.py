"""What a native request says, taken apart, so that two ways of writing it can be compared.

An atom is ("user" | "assistant" | "system", text), ("call", name, arguments), ("result", text),
("image" | "file", data) or ("tool", name, description). Order counts, grouping does not.
Left out is what OpenAI's format has no word for, files by URL among it.
"""

import json
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]
Atom = tuple[Any, ...]


def atoms_of_anthropic(body: Json) -> list[Atom]:
    found = [("system", text) for text in _texts(body.get("system"))]
    for message in body["messages"]:
        role = message["role"]
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for block in blocks:
            found += _anthropic_atoms(role, block)
    found += [
        ("tool", tool["name"], tool.get("description") or "")
        for tool in body.get("tools", [])
        if "input_schema" in tool
    ]
    return _joined(found)


def _texts(content: Any) -> list[str]:
    if isinstance(content, str):
        return [content] if content else []
    return [part["text"] for part in content or [] if part.get("type") == "text"]


def _anthropic_atoms(role: str, block: Json) -> Iterator[Atom]:
    match block["type"]:
        case "text":
            yield role, block["text"]
        case "tool_use":
            yield "call", block["name"], _canonical(block["input"])
        case "tool_result":
            yield "result", "\n".join(_texts(block.get("content")))
        case "image" if block["source"]["type"] in ("base64", "url"):
            yield "image", block["source"].get("data") or block["source"]["url"]
        case "document" if block["source"]["type"] == "base64":
            yield "file", block["source"]["data"]
        case "document" if block["source"]["type"] == "text":
            yield role, block["source"]["data"]


def atoms_of_gemini(body: Json) -> list[Atom]:
    system = body.get("systemInstruction") or {"parts": []}
    found: list[Atom] = [("system", part["text"]) for part in system["parts"]]
    for turn in body["contents"]:
        role = "assistant" if turn.get("role") == "model" else "user"
        for part in turn["parts"]:
            found += _gemini_atoms(role, part)
    for tool in body.get("tools") or []:
        found += [
            ("tool", one["name"], one.get("description") or "")
            for one in tool.get("functionDeclarations") or []
        ]
    return _joined(found)


def _gemini_atoms(role: str, part: Json) -> Iterator[Atom]:
    if "text" in part and not part.get("thought"):
        yield role, part["text"]
    elif "functionCall" in part:
        yield "call", part["functionCall"]["name"], _canonical(part["functionCall"].get("args"))
    elif "functionResponse" in part:
        told = part["functionResponse"]
        yield "result", told["name"], _canonical(told["response"])
    elif "inlineData" in part:
        data = part["inlineData"]
        yield ("image" if data["mimeType"].startswith("image/") else "file"), data["data"]


def _canonical(value: Any) -> str:
    return json.dumps(value or {}, sort_keys=True)


def _joined(atoms: list[Atom]) -> list[Atom]:
    """Neighbouring texts of one role are one; system texts come first, as all of them do."""
    system = "\n".join(atom[1] for atom in atoms if atom[0] == "system")
    made: list[Atom] = [("system", system)] if system else []
    for atom in atoms:
        if atom[0] == "system" or atom in (("user", ""), ("assistant", "")):
            continue
        if atom[0] in ("user", "assistant") and made and made[-1][0] == atom[0]:
            made[-1] = (atom[0], f"{made[-1][1]}\n{atom[1]}")
        else:
            made.append(atom)
    return made
