-- Many requests without a signature at once, again and again.
local one = "GET /voice HTTP/1.1\r\nHost: hooks.example.com\r\n\r\n"
local many = string.rep(one, 64)
request = function() return many end
