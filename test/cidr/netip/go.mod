module sallyport.dev/netip

go 1.26
