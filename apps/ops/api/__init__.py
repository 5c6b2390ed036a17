"""The operator's side of the API that needs several apps at once: Apps with their configuration, and the documents."""
