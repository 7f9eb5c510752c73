"""The vector graphs that Chroma saves in a folder: used only where they are whole, else made anew from Chroma's log.

Chroma saves a graph by writing over its files in place, one after the other. A process that dies meanwhile leaves a
graph that Chroma cannot read, answers wrongly from, or crashes on. Its log, in SQLite, is safe; Chroma deletes from it
what a graph holds, unless it is told not to. So the log is kept (`log`), and the graphs are a cache of it: looked at
before Chroma starts (`files`), and thrown away if they are not whole (`folder`). What was whole when Chroma was stopped
is recorded (`ledger`), so that the next opening compares times and sizes instead.

Everything here reads and writes the folder with Python's `sqlite3`, and must run only while Chroma is not running on
it: two copies of SQLite in one process release each other's locks (https://sqlite.org/howtocorrupt.html, 2.2.1).
"""
