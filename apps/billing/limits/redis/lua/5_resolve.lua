-- Change what an entry booked in its windows, where they still count it.
local function correct(entry, requests, tokens, output)
  for _, one in ipairs(entry[4]) do
    local difference = part_of(one[2], requests, tokens, output)
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

-- { 2, request id, tokens, nano, output tokens } -> true | false: it was not open
local function settle(op)
  local id, tokens, nano = op[2], op[3], op[4]
  local entry = open_entry(id)
  if not entry then return false end
  correct(entry, 0, tokens - entry[2], (op[5] or 0) - (entry[8] or 0))
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
  correct(entry, -1, -entry[2], -(entry[8] or 0))
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

-- { 4, request id, nano, amounts by budget, starts of blocks by budget } -> whether every budget holds as much more
local function extend(op)
  local id, nano, amounts = op[2], op[3], op[4]
  local entry = open_entry(id)
  if not entry then return false end
  renew(op)
  for i, one in ipairs(entry[6]) do
    local sums = sums_of(one[1], one[2], op[5] and op[5][i])
    if amounts[i] and passes(amounts[i], sums.settled, sums.booked, sums.held, nano) then
      return false
    end
  end
  add(entry, 'h', nano)
  entry[3] = sum(entries, entry[3], nano)
  call('HSET', entries, id, cmsgpack.pack(entry))
  return true
end
