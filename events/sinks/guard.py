class TargetRefused(ValueError):
    pass


def check_target(url: str) -> None:
    if not url.startswith(("https://", "http://127.0.0.1")):
        raise TargetRefused("Give an address that starts with https://.")
