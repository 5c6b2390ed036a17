"""`validate`: everything that is wrong with a document, all at once.

The models (`schema`) check each part by itself; the rules here check what lies between the parts. Rules read the
plain data and pass over what has the wrong shape, so that one fault does not hide the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from django.conf import settings
from pydantic import ValidationError

from apps.agents import handlers
from apps.agents.config import approval_rules, json_schemas, references
from apps.agents.config.explain import explain
from apps.agents.config.faults import ConfigInvalid, Fault
from apps.agents.config.parts import Path, entries, names, triggers, unknown
from apps.agents.config.reading import Source, read
from apps.agents.config.schema import Document
from apps.agents.registry import DEFAULT_CHANNEL, LLMSpec, ToolSpec, channel_specs, trigger_specs
from apps.tenancy import secrets
from hector_site.problems import pointer

Rule = Callable[[dict[str, Any]], Iterator[Fault]]

# Keys that no type resolves references in; of other keys of its own, the type says so itself.
_PLAIN_KEYS = {
    *LLMSpec.model_fields,
    *ToolSpec.model_fields,
    "script",
    "parameters",
    "handler",
    "answer_schema",
    "policy",
}
_CREDENTIAL = re.compile(
    r"(?i)authorization|^cookie$|(?:api|auth|access|secret|private|signing|encryption)[-_]?key$"
    r"|(?:^|[-_])(?:token|secret|password|passwd)$"
)
_PASSWORD_IN_URL = re.compile(r"://[^/\s:@]*:(?!\$\{)[^/\s@]+@")


def validate(document: str | dict[str, Any], *, allow_env: bool = False) -> Document:
    """The checked document. Raises ConfigInvalid with every fault.

    `allow_env` lets it read the server's environment (`${env:NAME}`): for an operator who applies the `default` App
    from the command line.
    """
    return check(read(document), allow_env=allow_env)


def check(source: Source, *, allow_env: bool = False) -> Document:
    data = source.data
    faults = [fault for rule in RULES for fault in rule(data)]
    faults += _references(data, allow_env=allow_env)
    try:
        document = Document.model_validate(data)
    except ValidationError as error:
        faults += explain(error, data)
    if faults:
        raise ConfigInvalid(Fault(fault.pointer, fault.detail, source.line(fault.pointer)) for fault in faults)
    return document


def _llms(data: dict[str, Any]) -> Iterator[Fault]:
    """Every llm that is named exists, every llm agent has one, and no fallback leads back to where it began."""
    known = names(data, "llms")
    defaults = data.get("defaults")
    default = defaults.get("llm") if isinstance(defaults, dict) else None
    if isinstance(default, str) and default not in known:
        yield unknown("/defaults/llm", default, "llms", known)
    for name, agent in entries(data, "agents").items():
        if agent.get("type", "llm") != "llm":
            continue
        llm = agent.get("llm")
        if isinstance(llm, str) and llm not in known:
            yield unknown(pointer("agents", name, "llm"), llm, "llms", known)
        elif llm is None and default is None:
            yield Fault(pointer("agents", name, "llm"), "The agent names no llm, and there is no `defaults.llm`.")
    llms = entries(data, "llms")
    for name, llm in llms.items():
        fallback = llm.get("fallback")
        if isinstance(fallback, str) and fallback not in known:
            yield unknown(pointer("llms", name, "fallback"), fallback, "llms", known)
        circle = _circle(llms, name)
        if circle and name == min(circle):
            yield Fault(pointer("llms", name, "fallback"), f"The fallbacks go round: {' -> '.join([*circle, name])}.")


def _circle(llms: dict[str, dict[str, Any]], start: str) -> list[str]:
    """The chain of fallbacks from `start`, if it leads back to `start`."""
    chain = [start]
    while isinstance(following := llms[chain[-1]].get("fallback"), str) and following in llms:
        if following == start:
            return chain
        if following in chain:
            break
        chain.append(following)
    return []


def _tools(data: dict[str, Any]) -> Iterator[Fault]:
    """Every tool that an agent names exists and is named once."""
    known = names(data, "tools")
    for name, agent in entries(data, "agents").items():
        tools = agent["tools"] if isinstance(agent.get("tools"), list) else []
        for index, tool in enumerate(tools):
            place = pointer("agents", name, "tools", index)
            if isinstance(tool, str) and tool not in known:
                yield unknown(place, tool, "tools", known)
            elif tool in tools[:index]:
                yield Fault(place, f"`{tool}` is named twice.")


def _handlers(data: dict[str, Any]) -> Iterator[Fault]:
    """Every Python function that is named can be called."""
    for section in ("tools", "agents"):
        for name, entry in entries(data, section).items():
            if entry.get("type") == "function" and isinstance(entry.get("handler"), str):
                try:
                    handlers.load(entry["handler"])
                except handlers.HandlerRefused as error:
                    yield Fault(pointer(section, name, "handler"), str(error))


def _schemas(data: dict[str, Any]) -> Iterator[Fault]:
    """Inputs, results and answers are described by schemas that can be used."""
    for name, agent in entries(data, "agents").items():
        for key in ("input_schema", "output_schema"):
            if isinstance(schema := agent.get(key), dict):
                for path, detail in json_schemas.problems(schema, is_output=key == "output_schema"):
                    yield Fault(pointer("agents", name, key, *path), detail)
    for name, tool in entries(data, "tools").items():
        if isinstance(schema := tool.get("answer_schema"), dict):
            for path, detail in json_schemas.problems(schema, is_output=False, is_object=False):
                yield Fault(pointer("tools", name, "answer_schema", *path), detail)


def _channels(data: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """The entries of `notifications` that have the shape of one, by their place."""
    found = data.get("notifications")
    return {at: entry for at, entry in enumerate(found) if isinstance(entry, dict)} if isinstance(found, list) else {}


def _notifications(data: dict[str, Any]) -> Iterator[Fault]:
    """Every channel has a name of its own, and every agent that one names exists."""
    known = names(data, "agents")
    taken: set[str] = set()
    for at, entry in _channels(data).items():
        name = str(entry.get("name") or entry.get("type", DEFAULT_CHANNEL))
        if name in taken:
            place = pointer("notifications", at)
            yield Fault(place, f"Another entry is called `{name}`: give this one a `name` (left out, it is the type).")
        taken.add(name)
        agents = entry["agents"] if isinstance(entry.get("agents"), list) else []
        for index, agent in enumerate(agents):
            if isinstance(agent, str) and agent not in known:
                yield unknown(pointer("notifications", at, "agents", index), agent, "agents", known)


def _entry_points(data: dict[str, Any]) -> Iterator[Fault]:
    """Every agent that an entry point names exists, and no agent is short for one that is written out."""
    known = names(data, "agents")
    for name, entry in entries(data, "entry_points").items():
        agent = entry.get("agent")
        if isinstance(agent, str) and agent not in known:
            yield unknown(pointer("entry_points", name, "agent"), agent, "agents", known)
    for place, name, _ in triggers(data):
        if place[0] == "agents" and name in names(data, "entry_points"):
            yield Fault(pointer(*place), f"`entry_points` has one called `{name}`: write the trigger there.")


def _clear_secrets(data: dict[str, Any]) -> Iterator[Fault]:
    """No credential is written in clear where one belongs: an `api_key`, a header, a variable of the environment."""
    written: list[tuple[Path, dict[str, Any]]] = [
        (("notifications", at), entry) for at, entry in _channels(data).items()
    ]
    for section in ("llms", "tools"):
        written += [((section, name), entry) for name, entry in entries(data, section).items()]
    written += [(place, trigger) for place, _, trigger in triggers(data)]
    for at, entry in written:
        places: list[tuple[tuple[str | int, ...], Any]] = [
            ((*at, key), entry.get(key)) for key in ("api_key", "secret")
        ]
        for group in ("headers", "env"):
            values = entry.get(group)
            if isinstance(values, dict):
                places += [((*at, group, key), values[key]) for key in values if _CREDENTIAL.search(key)]
        for key in ("url", "base_url"):
            if isinstance(url := entry.get(key), str) and _PASSWORD_IN_URL.search(url):
                places.append(((*at, key), "password"))
        for place, value in places:
            if isinstance(value, str) and value and not references.REFERENCE.search(value):
                yield Fault(
                    pointer(*place),
                    "A secret is not written in clear: store it in the App and write ${secret:NAME} here"
                    " (or leave the key out if the server needs none).",
                )


def _references(data: dict[str, Any], *, allow_env: bool) -> Iterator[Fault]:
    """References stand where they are resolved, have a name, and read the environment only if they may."""
    for path, kind, name in references.find(data):
        place = pointer(*path)
        if not _is_resolved(data, path):
            places = "settings of `llms`, `tools`, `notifications` and triggers"
            yield Fault(place, f"${{{kind}:…}} is only resolved in {places}, not here.")
        elif not secrets.NAME.fullmatch(name):
            yield Fault(place, f"{name[:100]!r} is not a name: use letters, digits and `_`, no digit first.")
        elif kind == "env" and not allow_env:
            yield Fault(
                place,
                "${env:…} is only for an operator who applies the `default` App from the command line;"
                " store the value in the App and write ${secret:NAME}.",
            )
        elif kind == "env" and name not in settings.HECTOR_ENV_ALLOW:
            yield Fault(place, f"{name} is not on HECTOR_ENV_ALLOW.")


def _is_resolved(data: dict[str, Any], path: tuple[str | int, ...]) -> bool:
    match path:
        case ["llms" | "tools", *rest]:
            return len(rest) < 2 or rest[1] not in _PLAIN_KEYS
        case ["notifications", int(at), str(key)]:
            channel = channel_specs.get(str(data["notifications"][at].get("type", DEFAULT_CHANNEL)))
            return channel is None or key in channel.references
        case ["entry_points" | "agents" as section, str(name), "trigger", str(key)]:
            trigger = trigger_specs.get(str(data[section][name]["trigger"].get("type")))
            return trigger is None or key in trigger.references
    return False


# Apps above this one add theirs.
RULES: list[Rule] = [
    _llms, _tools, _handlers, _schemas, approval_rules.approvals, _notifications, _entry_points, _clear_secrets,
]  # fmt: skip
