-- { 6, budget id, start, amount, want, most, starts of other blocks } -> { granted, owners }: what this owner may spend
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
  local sums = sums_of(budget, start, op[7])
  if passes(amount, sums.settled, sums.booked, sums.held, most) then
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
