"""The operations behind the saver's methods, which a thread runs or a coroutine awaits."""
