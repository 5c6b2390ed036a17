"""What every operation of the HTTP API shares: who asks, for which App, and what is refused before a view sees it.

- `authentication`: the operator secret, an App's token, the console's session;
- `views`: `ApiView`, and `AppView`, which runs inside the App that the credentials name;
- `body`: JSON that is strict about what it takes in; `fields`: serializers that are strict about names and types;
- `pagination`: cursors that stay right while rows come and go;
- `problems`: errors as RFC 9457, and how an app declares what its own exceptions mean;
- `openapi`: what drf-spectacular cannot know by itself.
"""
