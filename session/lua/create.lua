-- Makes the session, or finds it. What an expired one of the same id has left
-- (a connection's claim outlives it) is no part of it. One that a key was
-- thought to name is found only if its owner made it with that key. ARGV: now,
-- owner, key ('': none); the incarnation in ARGV[4] is the one that it gets.
local now, owner, key = unpack(ARGV, 5)
local was = call('HMGET', session, 'created', 'owner', 'key')
if not was[1] then
  call('HSET', session, 'created', now, 'updated', now, 'owner', owner, 'key', key, 'born', born)
  call('DEL', messages, ids, edited, reply, turn, conn, followers) -- second, so that a full Redis refuses
elseif key ~= '' and (was[2] ~= owner or was[3] ~= key) then
  return {'other'}
end
touch()
return {'ok', call('HMGET', session, 'created', 'updated', 'owner', 'born'), running(), '', '0',
  call('LRANGE', messages, 0, -1)}
