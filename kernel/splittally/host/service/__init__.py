"""A world as a service: HTTP and frames over one writer (spec/17-service.md).

`splittally.host.service.listening.serve(Path("team.world"), http=("127.0.0.1", 8080))` serves one.
"""
