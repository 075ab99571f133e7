"""A served world from the outside: frames over its Unix socket (spec/17-service.md).

with calls_to(Path("team.world"), "agent") as calls:  # splittally.wire.calls
    (decision,) = calls.run([At(None, Intent("mail.send", {...}, "mail"))])
"""
