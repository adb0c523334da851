-- Sends the tokens of a file, one for each request, over and over.
-- Arguments: the file, and the number of the first token, from 0.
local requests, at = {}, 0

function init(args)
	for token in io.lines(args[1]) do
		requests[#requests + 1] = wrk.format("GET", "/reports", {["Authorization"] = "Bearer " .. token})
	end
	at = tonumber(args[2]) % #requests
end

function request()
	at = at % #requests + 1
	return requests[at]
end
