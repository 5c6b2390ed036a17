"""An App's document: read, checked whole, applied as a numbered revision, and resolved into what a task pins.

- `reading`: text or JSON -> plain data, with the line of each value;
- `schema`: the document's Pydantic models and its JSON Schema;
- `checks`: `validate`, every fault at once;
- `references`: `${secret:NAME}` and `${env:NAME}`, resolved only while a model or tool is being built;
- `spec`: `AgentSpec`, the resolved agent that an AgentVersion stores;
- `apply`: revisions.
"""
