"""One cycle, in reading order: poll, judge, act. It decides nothing itself (domain) and speaks no HTTP or SQL itself."""
