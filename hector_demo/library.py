"""A very small library, for the demo's `researcher`. Its tools take their time, so that one can watch a run."""

from __future__ import annotations

import asyncio

ARTICLES = {
    "Leases": (
        "A lease is a claim that ends by itself. A worker that holds a task renews its lease while it lives; when it"
        " dies, the lease runs out and another worker may take the task."
    ),
    "Fencing": (
        "A worker that was only slow may come back after its lease ran out. Each claim raises a number, and a write"
        " that carries an old number is refused, so the late worker can do no harm."
    ),
    "Checkpoints": (
        "What is written down need not be done again. A task that records each answer of a model and each result of a"
        " tool goes on after a crash from the last record."
    ),
}


async def search_library(topic: str) -> list[str]:
    """Lists the titles of the articles on a topic.

    Args:
        topic: What to look for.
    """
    await asyncio.sleep(1)
    words = topic.lower().split()
    found = [title for title, text in ARTICLES.items() if any(word in f"{title} {text}".lower() for word in words)]
    return found or list(ARTICLES)


async def read_article(title: str) -> str:
    """Returns the text of an article.

    Args:
        title: A title that search_library gave.
    """
    await asyncio.sleep(1)
    return ARTICLES.get(title, f"There is no article called {title!r}.")
