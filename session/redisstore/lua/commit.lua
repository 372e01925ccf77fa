-- Makes a change if the conversation still has the version that the change was made
-- of, and the text its length. Returns 1 if the change is made, now or by an earlier
-- call, else 0.
-- KEYS: head, log, fence, text, followers.
-- ARGV: old version, new version, whether a full Redis refuses the change ('1'), time
-- to live and that of a grave (ms), fence ('': none), length of the text (-1: any),
-- how much of it stays (-1: all), whether that becomes the content of the last record
-- ('1'); the head's other fields, preceded by their number (0: the conversation is
-- deleted); new records, likewise; this node, the hint, and nodes that get it.
local head, log, fence, text, followers = unpack(KEYS)
local was, is, grows, life, grave, right, had, has, ends = unpack(ARGV, 1, 9)
local call, at = redis.call, 10
local function list()
  local from, n = at + 1, tonumber(ARGV[at])
  at = from + n
  return {unpack(ARGV, from, at - 1)}
end

local version = call('HGET', head, 'v') or ''
if version == is then return 1 end
if version ~= was then return 0 end
had, has = tonumber(had), tonumber(has)
if had >= 0 and call('STRLEN', text) ~= had then return 0 end
local told = call('ZRANGE', followers, 0, -1)

-- A full Redis refuses a script only if its first write needs memory.
if grows ~= '1' then call('PEXPIRE', head, life) end
local fields, records = list(), list()
if #fields == 0 then
  call('DEL', head, log, fence, text, followers)
  call('HSET', head, 'v', is)
  call('PEXPIRE', head, grave)
else
  call('HSET', head, 'v', is, unpack(fields))
  if was == '' then call('DEL', log, fence, text) end
  if ends == '1' then
    local kept = has > 0 and call('GETRANGE', text, 0, has - 1) or ''
    records[#records] = string.gsub(records[#records], '\n', function() return '\n' .. kept end, 1)
  elseif has == 0 then
    call('DEL', text)
  elseif has > 0 and has < had then
    call('SET', text, call('GETRANGE', text, 0, has - 1), 'KEEPTTL')
  end
  if #records > 0 then call('RPUSH', log, unpack(records)) end
  if right == '' then call('DEL', fence, text) else call('SET', fence, right) end
  for _, key in ipairs({head, log, fence, text}) do call('PEXPIRE', key, life) end
end

local node, hint = ARGV[at], ARGV[at + 1]
for i = at + 2, #ARGV do told[#told + 1] = ARGV[i] end
local done = {[node] = true}
for _, name in ipairs(told) do
  if not done[name] then
    done[name] = true
    call('PUBLISH', 'hub:' .. name, hint)
  end
end
return 1
