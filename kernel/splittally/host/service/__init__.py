"""A world as a service: HTTP and frames over one writer (spec/17-service.md).

serve(Path("team.world"), http=("127.0.0.1", 8080))
"""

from splittally.host.service.listening import serve

__all__ = ["serve"]
