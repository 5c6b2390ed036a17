"""Requests of other programs that start work, at `/webhooks/APP/PATH`.

- `routing`: which entry point a request is for;
- `signatures`: whether it was sent by somebody who has the secret; `handshakes`: whether it only asks for an answer;
- `arrivals`: what it holds, as templates see it and as it is kept;
- `receiving`: from a request that was let in to a firing, once; handing one over again;
- `views`: the address itself, and what is answered; `api`: the log of what came.

A request is written down with all that it starts in one transaction, and answered after that. So what was answered with
an id is there whatever crashes, and what was not answered is either not there or is found when the sender comes again:
one key, one delivery.
"""
