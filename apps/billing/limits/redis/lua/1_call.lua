-- Limits of many gateway processes: every call is a batch of operations, each all or nothing.
--
-- KEYS[1]  the common beginning of all keys, with the hash tag of a cluster
-- ARGV[1]  MessagePack: { epoch, now_us or 0, owner, lease_us, { operation, … } }
-- returns  MessagePack: { state, now_us, { answer, … } }; state 0: done; 1: another epoch rules
--
-- <root>:epoch            n: number, run: the server's run_id when it was built, w: members awaited
-- <root>:<n>:awaiting     nodes and owners that have not said yet what they hold; joined: have
-- <root>:<n>:owners       owners that ever held something
-- <root>:<n>:r:<owner>    request id -> entry: an open or a settled, not yet booked reservation
-- <root>:<n>:b:<budget>   p: period, f: oldest window; by start of window s: settled by the ledger,
--                         v: the booking that said so, k: settled and not booked, h: held
-- <root>:<n>:q:<quota>:<unit>  0 requests, 1 tokens, 3 input, 4 output; w: width of a sub-slot, t: total, c: newest, o: oldest sub-slot; counts
-- <root>:<n>:c:<quota>    request id -> end of its lease
--
-- Amounts of money are decimal strings: numbers here are doubles and exact to 2^53 only.

local call, floor, format = redis.call, math.floor, string.format
local request = cmsgpack.unpack(ARGV[1])
local epoch, now, owner, lease_us = request[1], request[2], request[3], request[4]
local root = KEYS[1]
local base = root .. ':' .. epoch .. ':'
if now == 0 then
  local time = call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
local rules = call('HMGET', root .. ':epoch', 'n', 'w')
if rules[1] ~= tostring(epoch) then
  return cmsgpack.pack({ 1, now, {} })
end
local is_awaiting = rules[2] == '1'

local SUBSLOTS, BILLION = 60, 1000000000
local NEVER = -1
local SHORT = 15 -- digits of an amount that doubles add up exactly, with a few others
local entries = base .. 'r:' .. owner
local is_owner = false
local rolled, crowds = {}, {} -- windows and slots that this call has looked at, by key
local UNITS = { [0] = ':0', ':1', [3] = ':3', [4] = ':4' }

-- A whole number as Redis is given it; it would print a double much more slowly itself.
local function digits_of(number) return format('%d', number) end
