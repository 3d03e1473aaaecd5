# Follow the stream with curl, and go on after the last id that was read.
id=
while :; do
    while IFS= read -r line; do
        case $line in
            data:*) data=${line#data: } ;;
            id:*) id=${line#id: } ;;
            "") printf '%s\n' "$data"; data= ;;
        esac
    done < <(curl --silent --no-buffer --header "X-API-Key: $SIGNALHUB_API_KEY" ${id:+--header "Last-Event-ID: $id"} \
        "$SIGNALHUB_URL/api/v1/stream?after=0")
    data=
    sleep 1
done
