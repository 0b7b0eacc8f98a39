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
-- <root>:<n>:q:<quota>:<unit>  w: width of a sub-slot, t: total, c: newest, o: oldest sub-slot; counts
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
local UNITS = { [0] = ':0', ':1' }

-- A whole number as Redis is given it; it would print a double much more slowly itself.
local function digits_of(number) return format('%d', number) end

local function limbs(text)
  local number = tonumber(text)
  if #text <= 15 then
    local high = floor(number / BILLION)
    return high, number - high * BILLION
  end
  local digits, is_negative = text, string.sub(text, 1, 1) == '-'
  if is_negative then digits = string.sub(text, 2) end
  local high, low = tonumber(string.sub(digits, 1, -10)), tonumber(string.sub(digits, -9))
  if is_negative then
    high, low = -high, -low
    if low < 0 then high, low = high - 1, low + BILLION end
  end
  return high, low
end

-- Whether the sum of the amounts passes the limit.
local function passes(limit, first, second, third, fourth)
  fourth = fourth or '0'
  if #limit <= SHORT and #first <= SHORT and #second <= SHORT and #third <= SHORT
     and #fourth <= SHORT then
    return first + second + third + fourth > tonumber(limit)
  end
  local high, low = limbs(limit)
  high, low = -high, -low
  for _, amount in ipairs({ first, second, third, fourth }) do
    local h, l = limbs(amount)
    high, low = high + h, low + l
  end
  high = high + floor(low / BILLION)
  low = low % BILLION
  return high > 0 or (high == 0 and low > 0)
end

local function minus(text)
  if text == '0' then return text end
  if string.sub(text, 1, 1) == '-' then return string.sub(text, 2) end
  return '-' .. text
end

-- The sum of two amounts as a string, exact.
local function sum(key, first, second)
  call('HSET', key, 'x', first)
  call('HINCRBY', key, 'x', second)
  local text = call('HGET', key, 'x')
  call('HDEL', key, 'x')
  return text
end

-- A sliding window rolled to now: its newest sub-slot and what that counts, its oldest sub-slot,
-- and the total.
local function roll(id, unit, width, ceiling)
  local key = base .. 'q:' .. id .. UNITS[unit]
  local window = rolled[key]
  if window and window.width == width then
    window.ceiling = ceiling
    return window
  end
  local slot = floor(now / width)
  window = { key = key, slot = slot, count = 0, total = 0, oldest = slot, width = width,
             ceiling = ceiling }
  rolled[key] = window
  local known = call('HMGET', key, 'w', 't', 'c', 'o', digits_of(slot))
  if not known[1] then
    call('HSET', key, 'w', width, 't', 0, 'c', slot, 'o', slot)
    call('PEXPIRE', key, floor(width * 130 / 1000) + 1)
    return window
  end
  local count = tonumber(known[5] or 0)
  local total, newest, oldest = tonumber(known[2]), tonumber(known[3]), tonumber(known[4])
  local old_width = tonumber(known[1])
  if old_width ~= width or newest - slot > 2 * SUBSLOTS then
    local moved, last = {}, nil
    for s = oldest, newest do
      local count = call('HGET', key, s)
      if count then
        local to = slot
        if old_width ~= width then to = math.min(slot, floor((s + 1) * old_width / width)) end
        moved[to] = (moved[to] or 0) + tonumber(count)
        if not last or to < last then last = to end
      end
    end
    call('DEL', key)
    call('HSET', key, 'w', width, 't', total, 'c', slot, 'o', last or slot)
    for s, count in pairs(moved) do call('HSET', key, s, count) end
    newest, oldest, count = slot, last or slot, moved[slot] or 0
  end
  if slot < newest then
    slot = newest
    count = tonumber(call('HGET', key, slot) or 0)
  end
  local keeps = slot - SUBSLOTS
  if slot > newest or oldest < keeps then
    for s = oldest, math.min(newest, keeps - 1) do
      local count = call('HGET', key, s)
      if count then
        total = total - tonumber(count)
        call('HDEL', key, s)
      end
    end
    oldest = math.max(oldest, keeps)
    if oldest > newest then oldest = slot end
    call('HSET', key, 't', total, 'c', slot, 'o', oldest)
    call('PEXPIRE', key, floor(width * 130 / 1000) + 1)
  end
  window.slot, window.count, window.total, window.oldest = slot, count, total, oldest
  return window
end

local function wait_us(window, demand, ceiling, width)
  local excess = window.total + demand - ceiling
  if excess <= 0 then return 0 end
  for s = window.oldest, window.slot do
    local count = call('HGET', window.key, s)
    if count then
      excess = excess - tonumber(count)
      if excess <= 0 then return (s + SUBSLOTS + 1) * width - now end
    end
  end
  return NEVER
end

-- Change what a sub-slot of a window counts, which is in it.
local function count_in(window, slot, count, difference)
  window.total = window.total + difference
  if slot == window.slot then window.count = count + difference end
  call('HSET', window.key, digits_of(slot), digits_of(count + difference),
       't', digits_of(window.total))
end

-- Leases that have not ended.
local function crowd_of(id)
  local key = base .. 'c:' .. id
  local crowd = crowds[key]
  if not crowd then
    call('ZREMRANGEBYSCORE', key, '-inf', digits_of(now))
    crowd = { key = key, count = call('ZCARD', key) }
    crowds[key] = crowd
  end
  return crowd
end

local function take_slot(crowd, id)
  crowd.count = crowd.count + call('ZADD', crowd.key, digits_of(now + lease_us), id)
  if not crowd.is_kept then
    crowd.is_kept = true
    call('PEXPIRE', crowd.key, digits_of(floor(lease_us / 500) + 1))
  end
end

-- What the tightest window of a unit leaves: limit, left, time until it is as if unused.
local function tightest(windows)
  local least
  for _, window in ipairs(windows) do
    if not least or window.ceiling - window.total < least.ceiling - least.total then
      least = window
    end
  end
  if not least then return false, false, false end
  local left = math.max(least.ceiling - least.total, 0)
  return least.ceiling, left, (least.slot + 1 + SUBSLOTS) * least.width - now
end

local function headroom(by_request, by_token, code)
  local lr, rr, xr = tightest(by_request)
  local lt, rt, xt = tightest(by_token)
  return { code, lr, rr, xr, lt, rt, xt }
end

-- The window of a budget that holds the money of now, or nil: the budget is not known here.
local function purse(budget)
  local key = base .. 'b:' .. budget[1]
  local start = budget[3]
  local known = call('HMGET', key, 'p', 'f', 's' .. start, 'k' .. start, 'h' .. start)
  if known[1] ~= budget[2] then return nil end
  if tonumber(known[2]) > start then
    start = tonumber(known[2])
    known = call('HMGET', key, 'p', 'f', 's' .. start, 'k' .. start, 'h' .. start)
  end
  return { key = key, start = start, settled = known[3] or '0', booked = known[4] or '0',
           held = known[5] or '0' }
end

local function refusal(quotas, budgets, purses, windows, tokens, nano, room)
  local held
  for i, budget in ipairs(budgets) do
    local p = purses[i]
    if passes(budget[4], p.settled, p.booked, nano) then
      return { 2, i, sum(p.key, p.settled, p.booked) }
    end
    if passes(budget[4], p.settled, p.booked, p.held, nano) then
      held = { 3, i, sum(p.key, p.settled, p.booked), p.held }
    end
  end
  local worst, which = 0, nil
  for i, quota in ipairs(quotas) do
    local wait = 0
    local window = windows[i]
    if quota[2] == 2 then
      if window.count >= quota[4] then wait = 1000000 end
    else
      wait = wait_us(window, quota[2] == 0 and 1 or tokens, quota[4], quota[3])
    end
    if wait == NEVER then wait = math.huge end
    if wait > worst then worst, which = wait, i end
  end
  if which then
    room[1] = 4
    room[8], room[9] = which, worst == math.huge and NEVER or worst
    return room
  end
  return held
end

-- Whether at least half of everything is left: then nobody waits for what is given back.
local function is_roomy(quotas, windows, budgets, purses, nano)
  for i, quota in ipairs(quotas) do
    if 2 * (windows[i].total or windows[i].count) > quota[4] then return false end
  end
  for i, budget in ipairs(budgets) do
    local p = purses[i]
    if 2 * (p.settled + p.booked + p.held + nano) > tonumber(budget[4]) then return false end
  end
  return true
end

-- { 1, request id, tokens, nano, quotas { id, unit, width_us, ceiling }, budgets { id, period,
-- start_s, amount } } -> { 0, headroom, starts, is roomy } | { 2 … 4, why not } | { 5: awaiting } |
-- { 6, budget ids that are not known }
local function reserve(op)
  local id, tokens, nano, quotas, budgets = op[2], op[3], op[4], op[5], op[6]
  local known = call('HGET', entries, id)
  if known then
    local entry = cmsgpack.unpack(known)
    if entry[1] == 0 and entry[7] then return entry[7] end
  end
  if #budgets > 0 and is_awaiting then return { 5 } end
  local purses, unknown, fits = {}, {}, true
  for i, budget in ipairs(budgets) do
    local p = purse(budget)
    if not p then
      unknown[#unknown + 1] = budget[1]
    else
      purses[i] = p
      if passes(budget[4], p.settled, p.booked, p.held, nano) then fits = false end
    end
  end
  if #unknown > 0 then return { 6, unknown } end
  local windows, by_request, by_token = {}, {}, {}
  for i, quota in ipairs(quotas) do
    local unit = quota[2]
    if unit == 2 then
      windows[i] = crowd_of(quota[1])
      if windows[i].count >= quota[4] then fits = false end
    else
      local window = roll(quota[1], unit, quota[3], quota[4])
      windows[i] = window
      if unit == 0 then by_request[#by_request + 1] = window
      else by_token[#by_token + 1] = window end
      if window.total + (unit == 0 and 1 or tokens) > quota[4] then fits = false end
    end
  end
  if not fits then
    return refusal(quotas, budgets, purses, windows, tokens, nano,
                   headroom(by_request, by_token, 0))
  end
  local booked, leases, held, starts = {}, {}, {}, {}
  for i, quota in ipairs(quotas) do
    local window, unit = windows[i], quota[2]
    if unit == 2 then
      take_slot(window, id)
      leases[#leases + 1] = quota[1]
    else
      count_in(window, window.slot, window.count, unit == 0 and 1 or tokens)
      booked[#booked + 1] = { quota[1], unit, window.slot, window.width }
    end
  end
  for i, budget in ipairs(budgets) do
    local p = purses[i]
    call('HINCRBY', p.key, 'h' .. p.start, nano)
    held[i] = { budget[1], p.start }
    starts[i] = p.start
  end
  local answer = headroom(by_request, by_token, 0)
  answer[8], answer[9] = starts, is_roomy(quotas, windows, budgets, purses, nano)
  call('HSET', entries, id, cmsgpack.pack({ 0, tokens, nano, booked, leases, held, answer }))
  if not is_owner then
    is_owner = true
    call('SADD', base .. 'owners', owner)
  end
  return answer
end

-- Change what an entry booked in its windows, where they still count it.
local function correct(entry, requests, tokens)
  for _, one in ipairs(entry[4]) do
    local difference = one[2] == 0 and requests or tokens
    if difference ~= 0 then
      local key = base .. 'q:' .. one[1] .. UNITS[one[2]]
      local slot, window = one[3], rolled[key]
      local count = window and slot == window.slot and window.count
      if not window then
        local known = call('HMGET', key, 'w', 'c', 't', 'o', digits_of(slot))
        if known[1] then
          window = { key = key, slot = tonumber(known[2]), total = tonumber(known[3]), count = 0,
                     oldest = tonumber(known[4]), width = tonumber(known[1]) }
          count = known[5]
          if slot == window.slot and slot == floor(now / window.width)
             and window.oldest >= slot - SUBSLOTS and count then
            window.count = tonumber(count)
            rolled[key] = window
          end
        end
      end
      if window then
        local newest = math.max(window.slot, floor(now / window.width))
        if window.width ~= one[4] then
          slot = math.min(window.slot, floor((slot + 1) * one[4] / window.width))
          count = false
        end
        count = count or call('HGET', key, digits_of(slot))
        if count and slot >= newest - SUBSLOTS then
          count_in(window, slot, tonumber(count), difference)
        end
      end
    end
  end
end

local function free_slots(entry, id)
  for _, quota in ipairs(entry[5]) do
    local key = base .. 'c:' .. quota
    local freed, crowd = call('ZREM', key, id), crowds[key]
    if crowd then crowd.count = crowd.count - freed end
  end
end

local function add(entry, field, amount)
  if amount == '0' then return end
  for _, one in ipairs(entry[6]) do
    call('HINCRBY', base .. 'b:' .. one[1], field .. one[2], amount)
  end
end

local function open_entry(id)
  local known = call('HGET', entries, id)
  if not known then return nil end
  local entry = cmsgpack.unpack(known)
  if entry[1] ~= 0 then return nil end
  return entry
end

-- { 2, request id, tokens, nano } -> true | false: it was not open
local function settle(op)
  local id, tokens, nano = op[2], op[3], op[4]
  local entry = open_entry(id)
  if not entry then return false end
  correct(entry, 0, tokens - entry[2])
  free_slots(entry, id)
  add(entry, 'h', minus(entry[3]))
  if #entry[6] == 0 then
    call('HDEL', entries, id)
    return true
  end
  add(entry, 'k', nano)
  call('HSET', entries, id, cmsgpack.pack({ 1, tokens, nano, {}, {}, entry[6], false }))
  return true
end

-- { 3, request id } -> true | false: it was not open
local function release(op)
  local id = op[2]
  local entry = open_entry(id)
  if not entry then return false end
  correct(entry, -1, -entry[2])
  free_slots(entry, id)
  add(entry, 'h', minus(entry[3]))
  call('HDEL', entries, id)
  return true
end

-- { 5, request id } -> whether every slot of it is held for another lease
local function renew(op)
  local id = op[2]
  local entry = open_entry(id)
  if not entry then return false end
  local is_whole = true
  for _, quota in ipairs(entry[5]) do
    local ends = call('ZSCORE', base .. 'c:' .. quota, id)
    if ends and tonumber(ends) > now then
      take_slot(crowd_of(quota), id)
    else
      is_whole = false -- and it is not taken back
    end
  end
  return is_whole
end

-- { 4, request id, nano, amounts by budget } -> whether every budget holds as much more
local function extend(op)
  local id, nano, amounts = op[2], op[3], op[4]
  local entry = open_entry(id)
  if not entry then return false end
  renew(op)
  for i, one in ipairs(entry[6]) do
    local sums = call('HMGET', base .. 'b:' .. one[1], 's' .. one[2], 'k' .. one[2], 'h' .. one[2])
    if amounts[i] and passes(amounts[i], sums[1] or '0', sums[2] or '0', sums[3] or '0', nano) then
      return false
    end
  end
  add(entry, 'h', nano)
  entry[3] = sum(entries, entry[3], nano)
  call('HSET', entries, id, cmsgpack.pack(entry))
  return true
end

-- { 6, budget id, start, amount, want, most } -> { granted, owners }: what this owner may spend
-- without asking: all it wants if `most` of the budget is left, else nothing
local function grant(op)
  local budget, start, amount, want, most = op[2], op[3], op[4], op[5], op[6]
  local key, id = base .. 'b:' .. budget, 'grant:' .. budget
  local owners = call('SCARD', base .. 'owners')
  local known = call('HGET', entries, id)
  if known then
    local entry = cmsgpack.unpack(known)
    add(entry, 'h', minus(entry[3]))
    call('HDEL', entries, id)
  end
  if want == '0' or is_awaiting or call('HEXISTS', key, 'p') == 0 then return { '0', owners } end
  local sums = call('HMGET', key, 's' .. start, 'k' .. start, 'h' .. start)
  if passes(amount, sums[1] or '0', sums[2] or '0', sums[3] or '0', most) then
    return { '0', owners }
  end
  local entry = { 0, 0, want, {}, {}, { { budget, start } }, false }
  add(entry, 'h', want)
  call('HSET', entries, id, cmsgpack.pack(entry))
  call('SADD', base .. 'owners', owner)
  return { want, owners }
end

-- { 7, owner, request id, tokens, nano, is settled, budgets { id, start }, leases } -> true: an
-- entry that was not known here is made, or a known one is settled
local function announce(op)
  local whose, id, tokens, nano, is_settled = base .. 'r:' .. op[2], op[3], op[4], op[5], op[6]
  local known = call('HGET', whose, id)
  if not known then
    local held, state = op[7], is_settled and 1 or 0
    local entry = { state, tokens, nano, {}, op[8], held, false }
    add(entry, is_settled and 'k' or 'h', nano)
    if is_settled then entry[5] = {} end
    call('HSET', whose, id, cmsgpack.pack(entry))
    call('SADD', base .. 'owners', op[2])
    known = nil
  elseif is_settled then
    local entry = cmsgpack.unpack(known)
    if entry[1] == 0 then
      free_slots(entry, id)
      add(entry, 'h', minus(entry[3]))
      add(entry, 'k', nano)
      call('HSET', whose, id, cmsgpack.pack({ 1, tokens, nano, {}, {}, entry[6], false }))
    end
    return true
  elseif #op[8] > 0 then
    local entry = cmsgpack.unpack(known)
    if entry[1] ~= 0 then return true end
    entry[5] = op[8]
    call('HSET', whose, id, cmsgpack.pack(entry))
  end
  if not is_settled then
    for _, quota in ipairs(op[8]) do take_slot(crowd_of(quota), id) end
  end
  return true
end

-- Let go of all that one entry holds; 1, or 0: it is not known.
local function drop(whose, id)
  local known = call('HGET', whose, id)
  if not known then return 0 end
  local entry = cmsgpack.unpack(known)
  free_slots(entry, id)
  add(entry, entry[1] == 0 and 'h' or 'k', minus(entry[3]))
  call('HDEL', whose, id)
  return 1
end

-- { 8, windows { id, start, settled, booking }, entries { owner, request id } } -> entries dropped:
-- what the ledger says now, and the entries that are part of it
local function post(op)
  for _, window in ipairs(op[2]) do
    local key, start = base .. 'b:' .. window[1], window[2]
    if call('HEXISTS', key, 'p') == 1 then
      local booking = call('HGET', key, 'v' .. start)
      if not booking or tonumber(booking) < window[4] then
        call('HSET', key, 's' .. start, window[3], 'v' .. start, window[4])
      end
    end
  end
  local dropped = 0
  for _, one in ipairs(op[3]) do
    dropped = dropped + drop(base .. 'r:' .. one[1], one[2])
  end
  return dropped
end

-- { 9, budgets { id, period, oldest start, windows { start, settled, booking } } } -> true:
-- what the ledger says of budgets that were not known here or whose period has changed
local function load_budgets(op)
  for _, budget in ipairs(op[2]) do
    local key = base .. 'b:' .. budget[1]
    local known = call('HMGET', key, 'p', 'f')
    if known[1] ~= budget[2] then
      call('HSET', key, 'p', budget[2], 'f', budget[3])
    elseif budget[3] < tonumber(known[2]) then
      call('HSET', key, 'f', budget[3])
    end
    for _, window in ipairs(budget[4]) do
      local start = window[1]
      local booking = call('HGET', key, 'v' .. start)
      if known[1] ~= budget[2] or not booking or tonumber(booking) <= window[3] then
        call('HSET', key, 's' .. start, window[2], 'v' .. start, window[3])
      end
    end
  end
  return true
end

-- { 10, member, owners } -> how many are awaited still: a member has said what it holds; `owners`
-- of it, if they have not yet, will say what they hold
local function joined(op)
  local key, done = base .. 'awaiting', base .. 'joined'
  call('SADD', done, op[2])
  for _, one in ipairs(op[3]) do
    if call('SISMEMBER', done, one) == 0 then call('SADD', key, one) end
  end
  call('SREM', key, op[2])
  local left = call('SCARD', key)
  if left == 0 then call('HSET', root .. ':epoch', 'w', '0') end
  return left
end

-- { 11, most entries, budgets } -> { entries, sums that were wrong }: what is held, summed anew
local function audit(op)
  local count, owners = 0, call('SMEMBERS', base .. 'owners')
  for _, one in ipairs(owners) do
    local held = call('HLEN', base .. 'r:' .. one)
    if held == 0 and one ~= owner then call('SREM', base .. 'owners', one) end
    count = count + held
  end
  if count > op[2] then return { count, -1 } end
  local sums, wrong, scratch = {}, 0, base .. 'sums'
  for _, one in ipairs(owners) do
    local all = call('HVALS', base .. 'r:' .. one)
    for _, packed in ipairs(all) do
      local entry = cmsgpack.unpack(packed)
      for _, held in ipairs(entry[6]) do
        local field = (entry[1] == 0 and 'h' or 'k') .. held[2]
        local key = base .. 'b:' .. held[1]
        sums[key] = sums[key] or {}
        sums[key][field] = sum(scratch, sums[key][field] or '0', entry[3])
      end
    end
  end
  for _, budget in ipairs(op[3]) do
    local key = base .. 'b:' .. budget
    local fields = call('HGETALL', key)
    for i = 1, #fields, 2 do
      local field, value = fields[i], fields[i + 1]
      if string.match(field, '^[hk]%d') then
        local right = sums[key] and sums[key][field] or '0'
        if right ~= value then
          call('HSET', key, field, right)
          wrong = wrong + 1
        end
      end
    end
  end
  return { count, wrong }
end

-- { 12, owner, request ids or nil } -> entries dropped: nothing of them was sent, or it is lost
local function forget(op)
  local whose, count = base .. 'r:' .. op[2], 0
  for _, id in ipairs(op[3] or call('HKEYS', whose)) do
    count = count + drop(whose, id)
  end
  if call('HLEN', whose) == 0 then call('SREM', base .. 'owners', op[2]) end
  return count
end

local does = { reserve, settle, release, extend, renew, grant, announce, post, load_budgets, joined,
               audit, forget }
local answers = {}
for i, op in ipairs(request[5]) do
  local fine, answer = pcall(does[op[1]], op)
  if fine then answers[i] = answer
  else answers[i] = { -1, type(answer) == 'table' and answer.err or tostring(answer) } end
end
return cmsgpack.pack({ 0, now, answers })
