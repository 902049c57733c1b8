module errorbody

go 1.22
