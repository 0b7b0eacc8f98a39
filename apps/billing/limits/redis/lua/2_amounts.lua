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

local function add_up(key, first, second)
  if #first < SHORT and #second < SHORT then return digits_of(first + second) end
  return sum(key, first, second)
end

-- Add what the other blocks of a rolling budget count to the sums of the one of now.
local function spread(p, others)
  if not others or #others == 0 then return end
  local fields = {}
  for _, start in ipairs(others) do
    if start ~= p.start then
      local n = #fields
      fields[n + 1], fields[n + 2], fields[n + 3] = 's' .. start, 'k' .. start, 'h' .. start
    end
  end
  if #fields == 0 then return end
  local known = call('HMGET', p.key, unpack(fields))
  for i = 1, #fields, 3 do
    if known[i] then p.settled = add_up(p.key, p.settled, known[i]) end
    if known[i + 1] then p.booked = add_up(p.key, p.booked, known[i + 1]) end
    if known[i + 2] then p.held = add_up(p.key, p.held, known[i + 2]) end
  end
end

-- What one window of a budget counts, and the others that count with it.
local function sums_of(budget, start, others)
  local key = base .. 'b:' .. budget
  local known = call('HMGET', key, 's' .. start, 'k' .. start, 'h' .. start)
  local p = { key = key, start = start, settled = known[1] or '0', booked = known[2] or '0',
              held = known[3] or '0' }
  spread(p, others)
  return p
end
