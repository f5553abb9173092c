"""Who and what there is in the demonstration: three projects of a small firm. All of it is made up."""

from typing import NamedTuple

from services.projects.models import Role
from services.relations import RelationKind
from services.tasks.models import TaskStatus

DONE, DOING, OPEN, DROPPED = TaskStatus.COMPLETED, TaskStatus.IN_PROGRESS, TaskStatus.PENDING, TaskStatus.CANCELLED
BLOCKS, RELATES, DUPLICATES = RelationKind.BLOCKS, RelationKind.RELATES_TO, RelationKind.DUPLICATES


class Person(NamedTuple):
    """Somebody who has an account."""

    username: str
    full_name: str
    timezone: str


class Milestone(NamedTuple):
    """``due`` is in days from today; ``closed``, that it was reached."""

    name: str
    due: int
    closed: bool = False


class Task(NamedTuple):
    """``start`` and ``due`` are in days from today. ``comments`` are pairs of who and what."""

    title: str
    status: TaskStatus = OPEN
    priority: int = 2
    who: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    due: int | None = None
    start: int | None = None
    milestone: str | None = None
    description: str | None = None
    below: str | None = None
    comments: tuple[tuple[str, str], ...] = ()


class Project(NamedTuple):
    """``members`` are with the owner first; ``relations`` are of titles."""

    key: str
    name: str
    description: str
    members: tuple[tuple[str, Role], ...]
    tags: tuple[tuple[str, str], ...]
    milestones: tuple[Milestone, ...]
    tasks: tuple[Task, ...]
    relations: tuple[tuple[str, RelationKind, str], ...] = ()


PEOPLE = (
    Person("mia", "Mia Hartmann", "Europe/Vienna"),
    Person("jonas", "Jonas Lindqvist", "Europe/Stockholm"),
    Person("priya", "Priya Raman", "Asia/Kolkata"),
    Person("tomas", "Tomás Ribeiro", "Europe/Lisbon"),
    Person("lena", "Lena Okafor", "Europe/London"),
)

SHOP = Project(
    "SHOP",
    "Online shop",
    "The shop for our coffee: fewer steps to an order, and a subscription for those who come back.",
    (("mia", Role.OWNER), ("jonas", Role.ADMIN), ("priya", Role.MEMBER), ("tomas", Role.MEMBER), ("lena", Role.VIEWER)),
    (("bug", "#d73a4a"), ("feature", "#0e8a16"), ("design", "#a371f7"), ("payment", "#fbca04"), ("docs", "#0075ca")),
    (Milestone("Checkout in one page", -6, closed=True), Milestone("Subscriptions", 24), Milestone("Gift cards", 65)),
    (
        Task("Draw the checkout on one page", DONE, 4, ("lena", "priya"), ("design",), -20, -34, "Checkout in one page",
             "One column, the total always in view, and no account needed.",
             comments=(("mia", "The address and the card on one screen, even on a small phone?"),
                       ("priya", "Yes: the address folds to one line once complete."))),
        Task("Keep the basket when the page is closed", DONE, 3, ("jonas",), ("feature",), -12, -20,
             "Checkout in one page"),
        Task("Card is charged twice after a slow answer", DONE, 5, ("jonas", "tomas"), ("bug", "payment"), -8, -9,
             "Checkout in one page",
             "Two customers were charged twice on Monday. The browser orders again when the first answer is late.",
             comments=(("tomas", "Both orders have the same amount and come 31 s apart."),
                       ("jonas", "An idempotency key for each order mends it: the second call answers as the first."),
                       ("mia", "Both have their money back, and a bag of the new roast."))),
        Task("Discount codes", DROPPED, 2, (), ("feature",), None, None, None,
             comments=(("mia", "Gift cards do this better. Closed."),)),
        Task("Subscriptions: a bag every two or four weeks", DOING, 5, ("priya", "jonas"), ("feature", "payment"), 20,
             -4, "Subscriptions", "Pause, skip and cancel without writing to us.",
             comments=(("priya", "Pausing is done; skipping needs the calendar of the roaster."),)),
        Task("Pause and go on", DONE, 3, ("priya",), ("feature",), -1, -4, "Subscriptions",
             below="Subscriptions: a bag every two or four weeks"),
        Task("Skip one delivery", DOING, 3, ("priya",), ("feature",), 6, -1, "Subscriptions",
             below="Subscriptions: a bag every two or four weeks"),
        Task("Tell people before their card is charged", OPEN, 4, ("jonas",), ("payment",), 12, None, "Subscriptions",
             "Three days before, with a link to skip.", below="Subscriptions: a bag every two or four weeks"),
        Task("Calendar of the roaster", DOING, 4, ("tomas",), ("feature",), 3, -5, "Subscriptions",
             comments=(("tomas", "They send a table every Friday. I read it with a script for now."),)),
        Task("Prices are shown without tax in Switzerland", OPEN, 4, ("tomas",), ("bug",), -2, None, None,
             comments=(("mia", "Seen with a delivery address in Basel."),)),
        Task("Photos load slowly on phones", OPEN, 3, (), ("bug", "design"), 9),
        Task("Images are too large", DROPPED, 2, (), ("bug",), comments=(("jonas", "The same as the slow photos."),)),
        Task("Gift cards", OPEN, 3, ("mia",), ("feature", "payment"), 60, 30, "Gift cards"),
        Task("Which amounts?", OPEN, 2, ("mia", "lena"), (), 28, None, "Gift cards", below="Gift cards"),
        Task("Describe the API of orders for the warehouse", DOING, 2, ("jonas",), ("docs",), 4, -2),
        Task("Search finds nothing for “decaf”", DONE, 3, ("tomas",), ("bug",), -15, -16),
    ),
    (
        ("Calendar of the roaster", BLOCKS, "Skip one delivery"),
        ("Images are too large", DUPLICATES, "Photos load slowly on phones"),
        ("Card is charged twice after a slow answer", RELATES, "Tell people before their card is charged"),
    ),
)  # fmt: skip

MOVE = Project(
    "MOVE",
    "Moving the office",
    "From the second floor on Quay Street to the old print works, without a day offline.",
    (("lena", Role.OWNER), ("mia", Role.ADMIN), ("tomas", Role.MEMBER)),
    (("contract", "#5319e7"), ("network", "#1d76db"), ("furniture", "#c2e0c6"), ("waiting", "#e99695")),
    (Milestone("Keys handed over", 14), Milestone("Everybody has moved", 30)),
    (
        Task("Sign the lease", DONE, 5, ("lena", "mia"), ("contract",), -25, -40,
             comments=(("mia", "The lawyer wants the clause about the lift out."), ("lena", "It is out. Signed."))),
        Task("Give notice for Quay Street", DONE, 5, ("lena",), ("contract",), -18),
        Task("Order the line", DOING, 5, ("tomas",), ("network", "waiting"), 2, -20, "Keys handed over",
             "The provider needs six weeks. Ask for a mobile line in case it comes late.",
             comments=(("tomas", "Promised for the 12th; I shall believe it when the light is green."),)),
        Task("Plan of the desks", DOING, 3, ("lena",), ("furniture",), 7, -3, "Keys handed over"),
        Task("Find out who needs a standing desk", DONE, 2, ("lena",), ("furniture",), -4, below="Plan of the desks"),
        Task("Measure the doors", OPEN, 3, ("tomas",), ("furniture",), 1, below="Plan of the desks"),
        Task("Book the movers", OPEN, 4, ("lena",), ("waiting",), -1, None, "Everybody has moved",
             comments=(("lena", "Two offers are here, the third is late."),)),
        Task("Tell customers and the bank our new address", OPEN, 3, ("mia",), (), 21, None, "Everybody has moved"),
        Task("Labels for the boxes", OPEN, 1, (), (), 16),
        Task("Housewarming", OPEN, 2, ("mia", "lena", "tomas"), (), 37, 35, "Everybody has moved"),
    ),
    (
        ("Order the line", BLOCKS, "Book the movers"),
        ("Measure the doors", BLOCKS, "Book the movers"),
        ("Sign the lease", RELATES, "Give notice for Quay Street"),
    ),
)  # fmt: skip

APP = Project(
    "APP",
    "Roast notes",
    "The app in which our customers write down how they brewed.",
    (("priya", Role.OWNER), ("jonas", Role.MEMBER), ("mia", Role.VIEWER)),
    (("ios", "#bfdadc"), ("android", "#bfd4f2"), ("crash", "#b60205"), ("idea", "#d4c5f9")),
    (Milestone("1.4", 10),),
    (
        Task("Crash when a photo is taken in landscape", DOING, 5, ("jonas",), ("android", "crash"), 2, -1, "1.4",
             comments=(("jonas", "Only where the camera answers after the screen has turned."),
                       ("priya", "Then it is in the next build, please."))),
        Task("A timer that goes on when the phone is locked", DONE, 4, ("priya",), ("ios", "android"), -3, -14, "1.4"),
        Task("Share a recipe as a picture", OPEN, 3, ("priya",), ("idea",), 9, None, "1.4"),
        Task("Grinder settings as a field of their own", OPEN, 2, (), ("idea",)),
        Task("Write the notes of the release", OPEN, 2, ("mia",), (), 10, None, "1.4"),
        Task("Translate into Portuguese", DOING, 2, ("priya", "jonas"), (), 8, -6),
    ),
    (("Crash when a photo is taken in landscape", BLOCKS, "Write the notes of the release"),),
)  # fmt: skip

PROJECTS = (SHOP, MOVE, APP)
VIEWS = (
    ("Mine, by date", {"assignees": {"me": True}, "status": {"in": ["pending", "in_progress"]}}, "due_at"),
    ("Late", {"overdue": True}, "due_at"),
    (
        "Bugs that are open",
        {"tags": {"any": ["bug", "crash"]}, "status": {"in": ["pending", "in_progress"]}},
        "priority",
    ),
)
"""Of the first person: names, filters and orders."""
