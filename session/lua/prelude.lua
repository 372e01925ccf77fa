-- Stands before every script but append.lua. All keys of a conversation carry
-- its id as hash tag, so that a script touches one slot. Every script may be
-- run again with the same arguments: what it did before it finds done.
local session, messages, ids, edited, reply, turn, conn, followers, text = unpack(KEYS)
local ttl, emptyTTL, node, born = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local call = redis.call

-- here tells whether the conversation is there, and is the incarnation that is
-- meant; '*' means any. One that an older version made has none: ''.
local function here()
  local made = call('HMGET', session, 'created', 'born')
  return made[1] and (born == '*' or (made[2] or '') == born)
end

-- A record in messages is
--   kind seq SP header LF content
-- kind: u user, a assistant, e an assistant's reply that failed; seq: decimal;
-- header: JSON without a line feed. ids has the message ids by seq, so that a
-- message's rank there is its index in messages.
local function record(i) return call('LINDEX', messages, i) end
local function content(r) return string.sub(r, string.find(r, '\n', 1, true) + 1) end
local function idAt(i) return i >= 0 and call('ZRANGE', ids, i, i)[1] or '' end

-- replyAt returns where the reply id is stored, or nil: the id of one that was
-- cut may be a user message's by now.
local function replyAt(id)
  local i = call('ZRANK', ids, id)
  if i and string.sub(record(i), 1, 1) ~= 'u' then return i end
end

-- micros is the time. It grows when a failover has lost what was numbered last.
local function micros()
  local t = call('TIME')
  return tonumber(t[1]) * 1000000 + tonumber(t[2])
end

-- nextSeq gives the next number in the conversation.
local function nextSeq()
  local seq = math.max(micros(), (tonumber(call('HGET', session, 'seq')) or 0) + 1)
  seq = string.format('%.0f', seq)
  call('HSET', session, 'seq', seq)
  return seq
end

-- touch slides the time to live. It comes last: it would otherwise be the
-- first write, and a full Redis would notice nothing.
local function touch()
  local running = call('HGET', reply, 'id')
  local ms = ttl
  if not running and call('EXISTS', messages) == 0 then ms = emptyTTL end
  for _, key in ipairs({session, messages, ids, edited, reply}) do
    call('PEXPIRE', key, ms)
  end
  if running then call('PEXPIRE', text .. running, ms) end
end

-- tell sends word to the other nodes that have to do with the conversation:
-- those that follow it, have its connection, or write its reply. A word is a
-- verb, the conversation, what else belongs to it, and the incarnation.
local function tell(verb, other)
  local what = verb .. ' ' .. string.match(session, '{(.*)}')
  if other then what = what .. ' ' .. other end
  what = what .. ' ' .. born
  local nodes = call('ZRANGE', followers, 0, -1)
  for _, key in ipairs({conn, turn}) do
    nodes[#nodes + 1] = string.match(call('GET', key) or '', '^%S+')
  end
  local told = {[node] = true}
  for _, name in ipairs(nodes) do
    if not told[name] then
      told[name] = true
      call('PUBLISH', 'chathub:' .. name, what)
    end
  end
end

local function running()
  return call('HMGET', reply, 'id', 'user', 'userSeq', 'seq', 'model', 'epochs')
end

-- whole returns s without the bytes of a character that is not all there: a
-- failover can cut anywhere.
local function whole(s)
  for back = 1, math.min(3, #s) do
    local b = string.byte(s, #s - back + 1)
    if b < 128 then return s end
    if b >= 192 then
      local size = b >= 240 and 4 or b >= 224 and 3 or 2
      return back < size and string.sub(s, 1, #s - back) or s
    end
  end
  return s
end

-- store ends the running reply id with what is said. Its text stays for a
-- minute, for followers that still read it and for what comes late or again.
local function store(kind, id, header, said, now)
  local seq = call('HGET', reply, 'seq')
  call('RPUSH', messages, kind .. seq .. ' ' .. header .. '\n' .. said)
  call('ZADD', ids, seq, id)
  call('HSET', session, 'updated', now)
  tell('ended', id)
  call('DEL', reply, turn)
  touch()
  call('SET', text .. id, said, 'PX', 60000)
end

-- history returns the newest records, of at least most bytes if there are.
local function history(most)
  local out, size, last = {}, 0, -1
  while size < most do
    local some = call('LRANGE', messages, last - 31, last)
    for i = #some, 1, -1 do
      out[#out + 1] = some[i]
      size = size + #some[i]
    end
    if #some < 32 then break end
    last = last - 32
  end
  return out
end
