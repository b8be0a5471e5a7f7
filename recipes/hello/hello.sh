#!/bin/sh
# Greets whoever is given, or Phoenix.
read -r greeting < /etc/hello/greeting
printf '%s, %s!\n' "$greeting" "${1:-Phoenix}"
