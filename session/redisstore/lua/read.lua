-- Registers this node as a follower of a running reply, and returns the text's length
-- and its bytes behind an offset; nothing if the fence is another. It tells the writer's
-- node, which publishes only to whom it heard of lately, and may not know that it is the
-- writer.
-- KEYS: fence, text, followers.
-- ARGV: this node, how long it stays registered (ms), fence, offset, most bytes, the
-- writer's node ('': do not tell), hint for it.
local fence, text, followers = unpack(KEYS)
local node, hold, right, from, most, writer, hint = unpack(ARGV)
local call = redis.call
if call('GET', fence) ~= right then return {} end
local t = call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
call('ZREMRANGEBYSCORE', followers, '-inf', now)
call('ZADD', followers, now + hold, node)
call('PEXPIRE', followers, hold)
local size, bytes = call('STRLEN', text), ''
if size > tonumber(from) then bytes = call('GETRANGE', text, from, from + most - 1) end
if writer ~= '' then call('PUBLISH', 'hub:' .. writer, hint) end
return {size, bytes}
