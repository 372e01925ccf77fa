-- Raises a node's beat. A script whose first write needs no memory may do others, so
-- PEXPIRE comes first: beats must rise while Redis is full.
-- KEYS: the beat. ARGV: time to live (ms).
redis.call('PEXPIRE', KEYS[1], ARGV[1])
if redis.call('INCR', KEYS[1]) == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return 1
