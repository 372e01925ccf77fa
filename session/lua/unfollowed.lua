-- Returns for how many ms no node has looked at the running reply, not even its
-- writer's before it adopted it; '': none ever has. ARGV: reply id.
local id = ARGV[5]
if not here() then return {'not found'} end
if call('HGET', reply, 'id') ~= id then return {'lost'} end
local last = call('HGET', reply, 'looked')
return {'ok', last and string.format('%.0f', math.floor(micros() / 1000) - tonumber(last)) or ''}
