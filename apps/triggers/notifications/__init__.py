"""Telling the outside world what happens: messages about events, to channels that the configuration names.

- `lifecycle`: the channels that there are; switching off what does not answer, and on again;
- `deliveries`: from an event to a message that has arrived or was given up; the schedule of attempts;
- `sending`: works the deliveries of a channel off (the handler of queue entries of kind `delivery`);
- `upkeep`: what checks, repairs and prunes all that.

An event becomes one delivery for each channel, in the transaction that takes it out of the outbox
(`apps.tasks.outbox`). A delivery is attempted at least once: a worker that dies between sending and writing down what
came back leaves it to the next one, which sends the same message with the same id again.

Whoever changes deliveries of a channel, or decides that there are none, locks the channel's row first; whoever needs
several channels locks them by name. So an entry of the queue is never settled while work for it is being written.
"""
