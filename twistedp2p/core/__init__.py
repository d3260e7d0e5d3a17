"""Floor 0: pure logic. No Twisted, no clock, no files, no sockets; time comes in as `now`."""
