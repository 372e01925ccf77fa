-- Returns what a node lacks of a conversation: nothing if there is none; its version
-- alone if the node has that, or for a grave; else version, state, format, length of
-- the log, index of the first record returned, index and byte where the next piece
-- begins, and the records, all as strings. The first and the last record may be parts.
-- KEYS: head, log.
-- ARGV: version and number of messages that the node has, version that added the last
-- of these, index and byte where this piece begins, most bytes of records.
local known, n, last, at, off, room = unpack(ARGV)
local call, head, log = redis.call, KEYS[1], KEYS[2]
local version, format, state = unpack(call('HMGET', head, 'v', 'format', 'state'))
if not version then return {} end
if version == known or not state then return {version} end
n, at, off, room = tonumber(n), tonumber(at), tonumber(off), tonumber(room)
if n > 0 then -- does the log still begin with what the node has?
  local record = call('LINDEX', log, n - 1) or ''
  if string.sub(record, 1, #last + 1) ~= last .. ' ' then at, off = 0, 0 end
end
local count, first = call('LLEN', log), at
local got = {version, state, format, tostring(count), tostring(first), '', ''}
while at < count and room > 0 do
  for _, record in ipairs(call('LRANGE', log, at, at + 15)) do
    local part = string.sub(record, off + 1, off + room)
    got[#got + 1] = part
    room, off = room - #part, off + #part
    if off < #record then break end
    at, off = at + 1, 0
    if room == 0 then break end
  end
end
got[6], got[7] = tostring(at), tostring(off)
return got
