"""When a message may disturb a person."""

from dataclasses import dataclass
from datetime import time


@dataclass(frozen=True)
class QuietHours:
    """The hours of each day, local time, in which nobody is written to.

    `begins` is the first quiet moment, `ends` the first allowed one. They may lie on two days
    (21:00 to 8:00); equal ones mean that there are no quiet hours.
    """

    begins: time
    ends: time

    def covers(self, moment: time) -> bool:
        """Whether the moment, local time, is quiet."""
        if self.begins <= self.ends:
            return self.begins <= moment < self.ends
        return moment >= self.begins or moment < self.ends
