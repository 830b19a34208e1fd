"""Sites behind NAT: an agent at the site reads the machines and reports each minute to the farm over HTTPS."""
